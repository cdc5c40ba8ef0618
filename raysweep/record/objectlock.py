"""The one writer of a run directory in a bucket: one object, renewed by conditional writes, never by a clock alone.

Who wants the lock watches the object: one that changes belongs to a living holder, one that stays the same for three
renewals is stale. The holder notices its loss by the failure of its next renewal.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from raysweep.clock import Clock
from raysweep.errors import LockHeldError, LockLostError
from raysweep.process import died_here, place, process_token
from raysweep.record.epoch import begin_epoch, last_epoch
from raysweep.record.objectstore import ObjectStore
from raysweep.record.segments import sealed_counts

_log = logging.getLogger(__name__)

NAME = "lock"
RENEW_S = 20.0
MISSED = 3
"""Renewals that a holder may miss before it is taken for dead."""


class ObjectLock:
    """Exclusive right to write a run directory in a bucket; call `beat` now and then.

    renew_s: seconds between renewals, and a third of the time after which a silent holder is dead. waiting: told, for
    a person, that a holder which may be dead is watched.
    """

    def __init__(
        self,
        store: ObjectStore,
        clock: Clock,
        *,
        renew_s: float = RENEW_S,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._renew_s = renew_s
        self._waiting = waiting
        self._token = uuid.uuid4().hex
        self._tag: str | None = None
        self._renewed = 0.0
        self._beats = 0
        self.epoch = 0

    def acquire(self, facts: Mapping[str, Any]) -> int:
        """As Lock.acquire; takes up to MISSED renewals when the last holder left without a word."""
        self._tag = self._take(self._free_tag())
        _log.info("took the lock of %s", self._store.where)
        try:
            # Listed under the lock: nothing that its last holder does from now on can pass a renewal.
            self.epoch = last_epoch(self._store) + 1
            told = {"holder": self._token, **facts}
            begin_epoch(self._store, self.epoch, self._clock.now(), sealed_counts(self._store), told)
        except FileExistsError:
            raise LockHeldError(f"{self._store.where}: another writer began epoch {self.epoch} just now") from None
        except BaseException:
            self.release()
            raise
        self.beat(force=True)
        return self.epoch

    def _free_tag(self) -> str | None:
        """Tag of the lock that may be taken over, None where there is none; LockHeldError names a living holder."""
        seen = self._store.get_tagged(NAME)
        if seen is None:
            return None
        first, holder = seen[1], _told(seen[0])
        if holder.get("released") or _died_here(holder):
            return first
        stale = MISSED * self._renew_s
        self._waiting(f"{self._store.where}: last written by {_name(holder)}; waiting {stale:.0f} s for its renewal")
        until = time.monotonic() + stale
        while time.monotonic() < until:
            time.sleep(min(1.0, self._renew_s / 4))
            seen = self._store.get_tagged(NAME)
            if seen is None or seen[1] != first:
                held = _told(seen[0]) if seen is not None else {}
                if held.get("released"):
                    return seen[1] if seen is not None else None
                raise LockHeldError(
                    f"{self._store.where}: already being written by {_name(held)}; wait for it, or end that process"
                )
        return first

    def _take(self, tag: str | None) -> str:
        taken = self._store.swap(NAME, self._content(running=0), tag)
        if taken is None:
            seen = self._store.get_tagged(NAME)
            holder = _told(seen[0]) if seen is not None else {}
            raise LockHeldError(f"{self._store.where}: {_name(holder)} took the lock just now; wait for it")
        self._renewed = time.monotonic()
        return taken

    def _content(self, *, running: int, released: bool = False) -> bytes:
        self._beats += 1
        told = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "place": place(),
            "process": process_token(),
            "heartbeat": self._clock.now(),
            "renew_s": self._renew_s,
            "epoch": self.epoch,
            "running": running,
            "token": self._token,
            "beat": self._beats,
            "released": released,
        }
        return json.dumps(told).encode()

    def beat(self, *, running: int = 0, force: bool = False) -> None:
        """As Lock.beat: one conditional write when a renewal is due."""
        began = time.monotonic()
        if not force and began - self._renewed < self._renew_s:
            return
        if self._tag is None:
            raise LockLostError(f"{self._store.where}: the lock is not held")
        tag = self._store.swap(NAME, self._content(running=running), self._tag)
        if tag is None:
            self._tag = None
            seen = self._store.get_tagged(NAME)
            by = _name(_told(seen[0])) if seen is not None else "nobody (the lock was removed)"
            raise LockLostError(
                f"{self._store.where}: this driver was silent for too long and lost its lock; now held by {by}. "
                "What it had not sealed runs again under the new one"
            )
        self._tag, self._renewed = tag, began

    def release(self) -> None:
        """As Lock.release; a lock that cannot be given back goes stale."""
        if self._tag is not None:
            tag, self._tag = self._tag, None
            self._store.swap(NAME, self._content(running=0, released=True), tag)


def holder(store: ObjectStore, now: float) -> dict[str, Any] | None:
    """What the holder last told (pid, host, heartbeat, epoch, running); None when the lock is free or stale at `now`.

    now: seconds since the epoch; for those who only look, so clocks that differ by seconds do no harm.
    """
    seen = store.get_tagged(NAME)
    told = _told(seen[0]) if seen is not None else {"released": True}
    stale = MISSED * float(told.get("renew_s", RENEW_S))
    if told.get("released") or now - float(told.get("heartbeat", 0.0)) > stale or _died_here(told):
        return None
    return told


def _told(data: bytes) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(data)
    except ValueError:
        return {}
    return told


def _name(told: Mapping[str, Any]) -> str:
    return f"process {told.get('pid', '?')} on {told.get('host', '?')}"


def _died_here(told: Mapping[str, Any]) -> bool:
    """Whether the holder was a process of this very machine that has ended: its lock is free at once."""
    return "process" in told and died_here(str(told.get("place", "")), str(told["process"]))
