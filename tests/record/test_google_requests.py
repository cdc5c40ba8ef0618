"""What is asked of Google Cloud Storage: its preconditions on generations, answered by a stand-in of its XML API.

No server of this protocol with preconditions installs from a registry, so only the requests are tested here.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raysweep.clock import SystemClock
from raysweep.errors import LockLostError
from raysweep.record.objectlock import ObjectLock
from raysweep.record.objectstore import ObjectStore


class Handler(BaseHTTPRequestHandler):
    """PUT with x-goog-if-generation-match, GET and HEAD, of blobs with generations."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        wanted = self.headers.get("x-goog-if-generation-match")
        with self.server.mutex:
            generation = self.server.blobs.get(self.path, (0, b""))[0]
            self.server.asked.append(wanted)
            if wanted is not None and int(wanted) != generation:
                self._answer(412)
                return
            self.server.generation += 1
            self.server.blobs[self.path] = (self.server.generation, data)
            self._answer(200, generation=self.server.generation)

    def do_GET(self):
        generation, data = self.server.blobs.get(self.path.partition("?")[0], (0, b""))
        if "list-type" in self.path:
            self._answer(200, b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>')
        elif generation:
            self._answer(200, data, generation)
        else:
            self._answer(404)

    def do_HEAD(self):
        self.do_GET()

    def _answer(self, code, data=b"", generation=0):
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        if generation:
            self.send_header("ETag", '"always-the-same"')
            self.send_header("x-goog-generation", str(generation))
            self.send_header("Last-Modified", "Tue, 24 Nov 2026 09:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def google(tmp_path, monkeypatch):
    """The stand-in; `asked` are the preconditions of all PUTs, in order."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.blobs, server.asked, server.generation, server.mutex = {}, [], 1000, threading.Lock()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    account = {"gcs_base_url": f"http://127.0.0.1:{server.server_port}", "disable_oauth": True}
    account |= {"client_email": "", "private_key": "", "private_key_id": ""}
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_new_names_ask_for_generation_zero_and_swaps_for_the_one_seen(google):
    store = ObjectStore("gs://bucket/run", retry_s=5.0)
    store.put_new("a", b"1")
    with pytest.raises(FileExistsError):
        store.put_new("a", b"2")
    first = store.swap("lock", b"1", None)
    second = store.swap("lock", b"2", first)
    assert store.swap("lock", b"3", first) is None
    assert (store.get("lock"), store.get_tagged("lock")[1]) == (b"2", second)
    assert google.asked == ["0", "0", "0", first, first]


def test_a_lock_that_another_wrote_is_lost(google):
    store = ObjectStore("gs://bucket/run", retry_s=5.0)
    lock = ObjectLock(store, SystemClock())
    lock.acquire({})
    lock.beat(force=True)
    store.replace("lock", b"{}")
    with pytest.raises(LockLostError):
        lock.beat(force=True)
