"""The one writer of a run directory: the Lock protocol, and the lock of a local directory.

Locally the kernel's file lock decides (a SIGKILLed holder loses it at once); the heartbeat in the file names the
holder and guards file systems on which other hosts do not see the kernel's lock. A bucket's lock: record.objectlock.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from raysweep.clock import Clock
from raysweep.errors import LockHeldError, LockLostError
from raysweep.record.epoch import begin_epoch, epoch_name, last_epoch
from raysweep.record.segments import sealed_counts
from raysweep.record.store import Store, named_failures

HEARTBEAT_S = 1.0
"""A local heartbeat is one small write, so it also tells `status` what is running now."""
HEARTBEAT_BYTES = 512
STALE_S = 60.0
"""Age of a heartbeat at which a holder on another host is taken for dead."""


class Lock(Protocol):
    """Exclusive right to write one run directory."""

    epoch: int

    def acquire(self, facts: Mapping[str, Any]) -> int:
        """Take the lock and begin the next epoch, which is returned; LockHeldError names who holds it.

        facts: what the epoch's record should say beside the counts of earlier epochs (versions, host).
        """
        ...

    def beat(self, *, running: int = 0, force: bool = False) -> None:
        """Renew the heartbeat when it is due (or `force`); LockLostError when another writer took over.

        running: attempts in flight, for `status`.
        """
        ...

    def release(self) -> None:
        """Give the lock back."""
        ...


class LocalLock:
    """Exclusive right to write one local run directory; use as a context manager, call `beat` now and then."""

    def __init__(self, root: Path, store: Store, clock: Clock) -> None:
        self._path = root / "lock"
        self._store = store
        self._clock = clock
        self._fd = -1
        self._last_beat = 0.0
        self.epoch = 0

    def acquire(self, facts: Mapping[str, Any]) -> int:
        """As Lock.acquire."""
        with named_failures(self._path):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock_patiently(fd)
            self._refuse_living_holder_elsewhere(fd)
        except BlockingIOError:
            holder = self._holder(fd)
            os.close(fd)
            raise LockHeldError(
                f"{self._path.parent}: already being written by {holder}; wait for it, or end that process"
            ) from None
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        try:
            self.epoch = last_epoch(self._store) + 1
            begin_epoch(self._store, self.epoch, self._clock.now(), sealed_counts(self._store), facts)
            self.beat(force=True)
        except FileExistsError:
            self.release()
            raise LockHeldError(f"{self._path.parent}: another writer began epoch {self.epoch} just now") from None
        except BaseException:
            self.release()
            raise
        return self.epoch

    def _holder(self, fd: int) -> str:
        told = _told(fd)
        return f"process {told.get('pid', '?')} on {told.get('host', '?')}"

    def _refuse_living_holder_elsewhere(self, fd: int) -> None:
        told = _told(fd)
        age = self._clock.now() - float(told.get("heartbeat", 0.0))
        if told.get("host") not in (None, socket.gethostname()) and 0 <= age < STALE_S:
            raise LockHeldError(
                f"{self._path.parent}: being written by {self._holder(fd)} (heartbeat {age:.0f} s ago); "
                f"wait for it, or retry in {STALE_S - age:.0f} s if that host is gone"
            )

    def beat(self, *, running: int = 0, force: bool = False) -> None:
        """As Lock.beat; the heartbeat is one small write into the lock's file."""
        if self._store.exists(epoch_name(self.epoch + 1)):
            raise LockLostError(f"{self._path.parent}: another writer took over (epoch {self.epoch + 1} began)")
        now = self._clock.now()
        if force or now - self._last_beat >= HEARTBEAT_S:
            told = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "heartbeat": now,
                "epoch": self.epoch,
                "running": running,
            }
            # Blanks to a fixed length, in one write: a reader never sees the end of an older, longer heartbeat.
            with named_failures(self._path):
                os.pwrite(self._fd, json.dumps(told).ljust(HEARTBEAT_BYTES).encode(), 0)
            self._last_beat = now

    @staticmethod
    def holder(root: Path) -> dict[str, Any] | None:
        """What the living holder last told (pid, host, heartbeat, epoch, running); None when nobody holds the lock.

        A holder that has told nothing yet gives an empty dict.
        """
        try:
            fd = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _told(fd)
        finally:
            os.close(fd)
        return None

    @staticmethod
    def running(root: Path) -> int:
        """Attempts in flight as the living holder last told; 0 when nobody holds the lock."""
        return int((LocalLock.holder(root) or {}).get("running", 0))

    def release(self) -> None:
        """As Lock.release (the kernel does it for a process that dies)."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _lock_patiently(fd: int) -> None:
    """Take the lock; BlockingIOError when it is held for longer than `status` needs to look at it."""
    for _ in range(100):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _told(fd: int) -> dict[str, Any]:
    """The heartbeat in the file; empty where there is none (a host may have died while it wrote)."""
    try:
        told: dict[str, Any] = json.loads(os.pread(fd, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return told
