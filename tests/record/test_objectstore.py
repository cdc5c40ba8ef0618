"""Runs in a bucket, on a real S3-compatible server: what is taken once, who may write, and what each fault leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from raysweep.clock import SystemClock
from raysweep.errors import InputError, LockHeldError, LockLostError
from raysweep.record.objectlock import NAME, ObjectLock, holder
from raysweep.record.objectstore import ObjectStore
from raysweep.record.reader import read_attempts
from raysweep.record.segments import segment_name, segments
from support.bucket_ledger import row, writer
from support.s3_server import BUCKET, Server

RENEW_S = 0.5
PATIENCE_S = 120.0


def trials(store):
    return sorted(read_attempts(store)["trial_id"].to_pylist())


def at_once(count, work):
    """The results of `count` threads that begin together."""
    results, barrier = [], threading.Barrier(count)

    def one(n):
        barrier.wait()
        try:
            results.append(work(n))
        except (FileExistsError, LockHeldError) as error:
            results.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_blobs_come_back_and_names_are_taken_once(bucket):
    store = ObjectStore(bucket)
    store.put_new("a/b", b"1")
    with pytest.raises(FileExistsError):
        store.put_new("a/b", b"2")
    store.put_new("a/b", b"1")  # our own write, tried again after its answer was lost
    assert (store.get("a/b"), store.names("a"), store.exists("a/b")) == (b"1", ["b"], True)
    store.replace("a/b", b"3")
    assert store.get("a/b") == b"3"
    store.remove("a/b")
    store.remove("a/b")
    assert (store.exists("a/b"), store.names("a"), store.names("")) == (False, [], [])
    with pytest.raises(FileNotFoundError):
        store.get("a/b")


def test_of_many_writers_of_one_name_one_wins(bucket):
    stores = [ObjectStore(bucket) for _ in range(8)]
    for number in range(3):
        name = f"race-{number}"
        results = at_once(8, lambda n, name=name: stores[n].put_new(name, f"writer {n}".encode()) or n)
        won = [r for r in results if isinstance(r, int)]
        assert len(won) == 1
        assert stores[0].get(name) == f"writer {won[0]}".encode()


def test_of_many_writers_on_one_version_one_wins(bucket):
    stores = [ObjectStore(bucket) for _ in range(8)]
    tag = stores[0].swap("x", b"first", None)
    assert stores[0].swap("x", b"late", None) is None
    won = [r for r in at_once(8, lambda n: stores[n].swap("x", f"{n}".encode(), tag)) if r is not None]
    assert len(won) == 1
    assert stores[0].get_tagged("x")[1] == won[0]
    assert stores[0].swap("gone", b"x", tag) is None


def test_of_many_drivers_one_gets_the_lock_and_the_others_are_told_who(bucket):
    locks = [ObjectLock(ObjectStore(bucket), SystemClock(), renew_s=20.0) for _ in range(6)]
    refused = []

    def acquire(n):
        try:
            epoch = locks[n].acquire({})
        except LockHeldError as error:
            refused.append(str(error))
            raise
        while len(refused) < 5:
            time.sleep(0.1)
            locks[n].beat(force=True)
        return epoch

    results = at_once(6, acquire)
    assert [r for r in results if isinstance(r, int)] == [1]
    assert all(f"process {os.getpid()}" in told for told in refused)
    assert holder(ObjectStore(bucket), time.time())["pid"] == os.getpid()
    for lock in locks:
        lock.release()
    assert holder(ObjectStore(bucket), time.time()) is None
    assert ObjectLock(ObjectStore(bucket), SystemClock()).acquire({}) == 2


def test_a_living_holder_is_seen_by_its_renewals(bucket):
    began = time.time()
    _, lock, ledger = writer(bucket, renew_s=RENEW_S)
    told, ended = [], threading.Event()

    def renew():
        while not ended.wait(RENEW_S / 5):
            ledger.seal_if_due(running=3)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        other = ObjectLock(ObjectStore(bucket), SystemClock(), renew_s=20.0, waiting=told.append)
        with pytest.raises(LockHeldError, match=f"process {os.getpid()}"):
            other.acquire({})
    finally:
        ended.set()
        thread.join()
    assert "waiting 60 s" in told[0]
    assert holder(ObjectStore(bucket), began)["running"] == 3  # stale a moment after its last renewal
    lock.release()


def test_a_silent_holder_is_replaced_after_three_renewals_and_then_stops_without_sealing(bucket):
    store, lock, ledger = writer(bucket, renew_s=RENEW_S)
    for n in range(10):
        ledger.append(row(n))
    successor = ObjectLock(ObjectStore(bucket), SystemClock(), renew_s=RENEW_S)
    assert successor.acquire({}) == 2
    ledger.append(row(10))
    with pytest.raises(LockLostError, match="lost its lock"):
        ledger.seal()
    with pytest.raises(LockLostError):
        ledger.seal()
    assert segments(store) == [segment_name(1, 1)]
    lock.release()  # of a lock that is another's: nothing happens
    successor.beat(force=True)


def test_what_a_late_writer_seals_does_not_count(bucket):
    store, _, ledger = writer(bucket, renew_s=60.0)
    for n in range(10):
        ledger.append(row(n))
    successor = ObjectLock(ObjectStore(bucket), SystemClock(), renew_s=RENEW_S)
    assert successor.acquire({}) == 2
    for n in range(10, 19):  # its renewal is not due yet: it can not know
        ledger.append(row(n))
    with pytest.raises(LockLostError):  # it looks behind itself after the seal
        ledger.append(row(19))
    assert not store.exists(segment_name(1, 2))
    assert store.names("merged") == [segment_name(1, 2).removeprefix("ledger/")]
    assert trials(store) == sorted(f"t{n}" for n in range(10))


def test_a_taken_epoch_is_refused(bucket):
    store, lock, _ = writer(bucket)
    lock.release()
    lock = ObjectLock(store, SystemClock())
    # another lock, on another object, cannot begin the same epoch
    store.put_new("ledger/epoch-0002.json", b'{"epoch": 2, "sealed": {}}')
    assert lock.acquire({}) == 3


def test_a_bucket_that_is_not_there_is_named(s3_server):
    store = ObjectStore("s3://no-such-bucket-here/run")
    with pytest.raises(InputError, match="s3://no-such-bucket-here/run"):
        store.names("ledger")


def test_a_server_that_does_not_answer_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(InputError, match=r"s3://runs/x/ledger.*the same command resumes"):
        ObjectStore("s3://runs/x", retry_s=0.5).names("ledger")


DRIVER = """
import sys, time
sys.path.insert(0, {here!r})
from support.bucket_ledger import row, writer
from raysweep.errors import RaysweepError
try:
    store, lock, ledger = writer(sys.argv[1], renew_s=float(sys.argv[3]))
    print("begun", lock.epoch, flush=True)
    n = int(sys.argv[2])
    while True:
        ledger.append(row(n))
        ledger.seal_if_due()
        n += 1
        if n % 10 == 0:
            print(n, flush=True)
        time.sleep(0.002)
except RaysweepError as error:
    print(f"{{type(error).__name__}}: {{error}}", flush=True)
    sys.exit(int(error.exit_code))
"""


class DriverProcess:
    """A writer in a process of its own that counts trials up and says how many are sealed."""

    def __init__(self, url, start, renew_s, environment):
        script = DRIVER.format(here=str(Path(__file__).parents[1]))
        command = [sys.executable, "-c", script, url, str(start), str(renew_s)]
        self.start, self.lines = start, []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def told(self):
        """Trials that it has said are sealed."""
        numbers = [int(line) for line in list(self.lines) if line.isdigit()]
        return (numbers[-1] if numbers else self.start) - self.start

    def wait_for(self, count):
        until = time.monotonic() + PATIENCE_S
        while self.told() < count:
            assert self.process.poll() is None, self.lines[-1:]
            assert time.monotonic() < until, self.lines
            time.sleep(0.02)

    def end(self):
        """Wait until it ended; its exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join()
        self.process.stdout.close()
        return code

    def kill(self):
        self.process.kill()
        self.end()


def successor_of_stopped(url):
    """A writer after one that is stopped; a renewal that was under way then may still arrive, and that one lives."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return writer(url, renew_s=RENEW_S)
        except LockHeldError:
            assert time.monotonic() < until


def test_a_driver_that_was_stopped_past_its_lease_wakes_and_stops_without_sealing(bucket, s3_server):
    old = DriverProcess(bucket, 0, RENEW_S, s3_server.environment)
    old.wait_for(30)
    old.process.send_signal(signal.SIGSTOP)
    try:
        store, lock, ledger = successor_of_stopped(bucket)
        assert lock.epoch == 2
        before = trials(store)
        sealed = store.names("ledger")
        assert len(before) >= 30
    finally:
        old.process.send_signal(signal.SIGCONT)
    assert old.end() == 3
    assert old.lines[-1].startswith("LockLostError: ")
    # a request that was under way when it was stopped may have made one more object, which does not count
    assert len(set(store.names("ledger")) - set(sealed)) <= 1
    assert trials(store) == before
    for n in range(1_000_000, 1_000_010):
        ledger.append(row(n))
    lock.release()
    assert len(trials(store)) == len(before) + 10


def test_sigkill_of_the_driver_at_any_moment_loses_nothing_sealed(bucket, s3_server):
    told = 0
    for round_ in range(3):
        driver = DriverProcess(bucket, round_ * 1_000_000, 20.0, s3_server.environment)
        driver.wait_for(20 + 10 * round_)
        driver.kill()  # in the middle of a seal, as it does little else
        told += driver.told()
        kept = len(trials(ObjectStore(bucket)))  # fails where a row stands twice
        assert told <= kept
        told = kept


def test_a_server_that_is_killed_and_started_again_in_mid_run(tmp_path, monkeypatch):
    server = Server(tmp_path / "s3")
    server.start()
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/run"
        driver = DriverProcess(url, 0, 20.0, server.environment)
        driver.wait_for(30)
        for _ in range(2):
            server.kill()
            told = driver.told()
            server.start()
            driver.wait_for(told + 50)
        driver.kill()
        kept = trials(ObjectStore(url))
        assert len(kept) >= driver.told()
        assert kept == sorted(f"t{n}" for n in range(len(kept)))
    finally:
        server.kill()


def test_the_lock_of_a_process_that_died_on_this_machine_is_free_at_once(bucket, s3_server):
    driver = DriverProcess(bucket, 0, 1000.0, s3_server.environment)
    driver.wait_for(10)
    driver.kill()
    told = []
    lock = ObjectLock(ObjectStore(bucket), SystemClock(), renew_s=1000.0, waiting=told.append)
    assert (lock.acquire({}), told) == (2, [])
    assert ObjectStore(bucket).get_tagged(NAME) is not None
