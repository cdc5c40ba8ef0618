"""Who looks at a lock from outside: sees its holder, never hinders it, never reads half a heartbeat."""

from __future__ import annotations

import fcntl
import os

import pytest

from raysweep.clock import SystemClock
from raysweep.errors import LockHeldError
from raysweep.record import lock as module
from raysweep.record.lock import LocalLock
from raysweep.record.store import LocalStore


def lock_of(path):
    return LocalLock(path, LocalStore(path), SystemClock())


def test_a_holder_without_an_attempt_in_flight_is_a_holder(tmp_path):
    lock = lock_of(tmp_path)
    assert LocalLock.holder(tmp_path) is None
    lock.acquire({})
    assert LocalLock.holder(tmp_path)["pid"] == os.getpid()
    assert LocalLock.running(tmp_path) == 0
    lock.release()
    assert LocalLock.holder(tmp_path) is None


def test_a_shorter_heartbeat_after_a_longer_one_is_read_whole(tmp_path):
    lock = lock_of(tmp_path)
    lock.acquire({})
    for running in (1000, 7):
        lock.beat(running=running, force=True)
        assert LocalLock.running(tmp_path) == running
    lock.release()


def test_half_a_heartbeat_is_no_heartbeat(tmp_path):
    lock = lock_of(tmp_path)
    lock.acquire({})
    (tmp_path / "lock").write_text('{"pid": 12, "runn')
    assert LocalLock.holder(tmp_path) == {}
    assert LocalLock.running(tmp_path) == 0
    with pytest.raises(LockHeldError):
        lock_of(tmp_path).acquire({})
    lock.release()


def test_a_look_at_the_lock_that_is_just_under_way_does_not_refuse_the_driver(tmp_path, monkeypatch):
    first = lock_of(tmp_path)
    first.acquire({})
    first.release()
    looking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            os.close(looking)

    monkeypatch.setattr(module.time, "sleep", pause)
    second = lock_of(tmp_path)
    assert second.acquire({}) == 2
    assert (len(pauses), all(pauses)) == (5, True)
    second.release()
