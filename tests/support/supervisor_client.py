"""A blocking client of the supervisor's frames, and the supervisor as process 1 of a PID namespace of its own."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import platform
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.sandbox.supervised.frames import NO_SEAL, SEAL_LENGTH, Sealer, digest_of, stream_key
from raysweep.sandbox.supervisor import binary

HEADER = struct.Struct(">IQ")
PATIENCE_S = 120.0
NO_BOUND = str(1 << 62)
PROGRAM = Path(os.environ.get("RAYSWEEP_TEST_SUPERVISOR") or binary(platform.machine()))
"""The supervisor under test: the committed one, or another build (test_supervisor_sanitized.py)."""
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Reply:
    """One reply: its request's id, "ok" or "error", the fields after that, the body."""

    id: str
    status: str
    fields: list[str]
    body: bytes

    @property
    def errno(self) -> int:
        assert self.status == "error", self
        return int(self.fields[0])


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit: int
    signal: int
    timed_out: bool
    duration_us: int
    out_total: int
    err_total: int
    out: bytes
    err: bytes


class Client:
    """One connection; replies are kept until they are asked for."""

    def __init__(self, name: str, token: str | None, link: Any = None) -> None:
        self.socket = link or connect(name)
        self.ids = itertools.count(1)
        self.replies: dict[str, Reply] = {}
        self.out: Sealer | None = None
        self.seals: Sealer | None = None
        self.hello = self.greet(token) if token is not None else None

    def greet(self, token: str) -> Reply:
        """Say hello; from here on frames are sealed both ways."""
        nonce = uuid.uuid4().hex
        self.send("hello", nonce, token, request_id="hello")
        frame, reply = self.frame()
        ours = reply.fields[-1]
        self.out = Sealer(stream_key(token, "to supervisor", nonce, ours))
        self.seals = Sealer(stream_key(token, "to runner", nonce, ours))
        assert self.exactly(SEAL_LENGTH) == self.seals.whole(frame)
        assert self.ask("clock").status == "ok"
        return reply

    def frame(self) -> tuple[bytes, Reply]:
        """One frame without its seal, and what it says."""
        header = self.exactly(HEADER.size)
        head_len, body_len = HEADER.unpack(header)
        head, body = self.exactly(head_len), self.exactly(body_len)
        fields = head.decode().split("\0")
        return header + head + body, Reply(fields[0], fields[1], fields[2:], body)

    def send(self, *fields: str | bytes | int, body: bytes = b"", request_id: str | None = None) -> str:
        """Send a request; its id."""
        request_id = request_id or str(next(self.ids))
        head = b"\0".join(f if isinstance(f, bytes) else str(f).encode() for f in (request_id, *fields))
        frame = HEADER.pack(len(head), len(body)) + head + body
        self.socket.sendall(frame + (self.out.whole(frame) if self.out is not None else NO_SEAL))
        return request_id

    def receive(self, request_id: str) -> Reply:
        """The reply to a request; ConnectionError when the supervisor closed the connection."""
        while request_id not in self.replies:
            frame, reply = self.frame()
            assert self.seals is not None, "closed is what a stranger gets"
            assert self.exactly(SEAL_LENGTH) == self.seals.whole(frame)
            self.replies[reply.id] = reply
        return self.replies.pop(request_id)

    def exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return bytes(data)

    def ask(self, *fields: str | bytes | int, body: bytes = b"") -> Reply:
        return self.receive(self.send(*fields, body=body))

    def start(
        self,
        cid: str,
        argv: Sequence[str],
        *,
        timeout_ms: int = -1,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
    ) -> Reply:
        pairs = [f"{k}={v}" for k, v in (ENV if env is None else env).items()]
        return self.ask("exec", cid, timeout_ms, cwd, len(pairs), *pairs, len(argv), *argv)

    def wait(self, cid: str, *, limit: int = 1 << 20) -> Ended:
        """Long polls until it has ended."""
        while True:
            reply = self.ask("wait", cid, limit, 30_000)
            assert reply.status == "ok", reply
            if reply.fields[0] != "running":
                break
        _, code, sig, timed_out, duration, out_len, out_total, err_total = reply.fields
        cut = int(out_len)
        return Ended(
            int(code),
            int(sig),
            timed_out == "1",
            int(duration),
            int(out_total),
            int(err_total),
            reply.body[:cut],
            reply.body[cut:],
        )

    def run(self, argv: Sequence[str], *, limit: int = 1 << 20, **options: object) -> Ended:
        cid = uuid.uuid4().hex
        assert self.start(cid, argv, **options).fields == ["started"]  # type: ignore[arg-type]
        return self.wait(cid, limit=limit)

    def shell(self, script: str, **options: object) -> Ended:
        return self.run(["sh", "-c", script], **options)  # type: ignore[arg-type]

    def put(self, dest: str, archive: bytes, digest: str | None = None) -> Reply:
        return self.ask("put", dest, digest or hashlib.sha256(archive).hexdigest(), body=archive)

    def get(self, path: str) -> bytes:
        reply = self.ask("get", path, NO_BOUND)
        assert reply.status == "ok", reply
        assert reply.fields == [str(len(reply.body)), hashlib.sha256(reply.body).hexdigest()]
        return reply.body

    def close(self) -> None:
        self.socket.close()


def connect(name: str) -> socket.socket:
    """A socket to the supervisor of that name, as soon as it listens."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(PATIENCE_S)
        try:
            link.connect(f"\0raysweep-{name}")
        except (ConnectionRefusedError, BlockingIOError):
            link.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return link


class PipeLink:
    """The standard streams of a `supervisor call`, as far as a client uses a socket."""

    def __init__(self, call: subprocess.Popen[bytes]) -> None:
        self.call = call

    def sendall(self, data: bytes) -> None:
        self.call.stdin.write(data)  # type: ignore[union-attr]
        self.call.stdin.flush()  # type: ignore[union-attr]

    def recv(self, size: int) -> bytes:
        return self.call.stdout.read1(size)  # type: ignore[union-attr,attr-defined,no-any-return]

    def close(self) -> None:
        self.call.stdin.close()  # type: ignore[union-attr]


class Place:
    """A supervisor that runs as process 1 below unshare."""

    def __init__(
        self, spool: Path, *, wrap: Sequence[str] = (), program: Path | None = None, keeper: Sequence[str] = ()
    ) -> None:
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.token = uuid.uuid4().hex
        self.spool = spool
        self.process = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *wrap,
                *(str(program or PROGRAM), "init", self.name, str(spool), digest_of(self.token), *keeper),
            ],
            env={},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.clients: list[Client] = []

    def client(self, token: str | None = "") -> Client:
        """A new connection with a hello said; token None: without."""
        client = Client(self.name, self.token if token == "" else token)
        self.clients.append(client)
        return client

    def host_pid(self) -> int:
        """The supervisor's pid as this test sees it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def end(self) -> None:
        for client in self.clients:
            client.close()
        try:  # unshare ends when all of the namespace has: nothing then writes to the spool or counts as a process
            os.kill(self.host_pid(), signal.SIGKILL)
        except (ProcessLookupError, IndexError, FileNotFoundError):
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def place(spool: Path, *, wrap: Sequence[str] = (), program: Path | None = None) -> Iterator[Place]:
    made = Place(spool, wrap=wrap, program=program)
    try:
        yield made
    finally:
        made.end()


def patiently(condition, what: str) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
