"""Where a run directory is: a local path, or a URL of a bucket; and the store and lock that belong to it.

The one place that knows both kinds. `Remote` answers what commands ask of a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from raysweep.clock import Clock
from raysweep.errors import bad_input
from raysweep.record.lock import LocalLock, Lock
from raysweep.record.objectlock import ObjectLock, holder
from raysweep.record.objectstore import ObjectStore
from raysweep.record.store import LocalStore, Store

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)")
SCHEMES = ("s3", "gs")


@dataclass(frozen=True, slots=True)
class Remote:
    """A run directory, or a blob of it, in a bucket: s3://bucket/prefix or gs://bucket/prefix."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return PurePosixPath(self.url).name


RunPath: TypeAlias = Path | Remote


def run_path(text: str) -> RunPath:
    """A run directory as it is written on the command line; InputError for a URL that is no s3:// or gs:// prefix."""
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    bucket, _, prefix = found["rest"].strip("/").partition("/")
    if found["scheme"] not in SCHEMES or not bucket or not prefix:
        raise bad_input(
            "not a place for a run directory", "give a local path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX", value=text
        )
    return Remote(f"{found['scheme']}://{bucket}/{prefix}")


def store_at(path: RunPath) -> Store:
    """The store of the run directory at `path`; nothing is opened or made."""
    return ObjectStore(path.url) if isinstance(path, Remote) else LocalStore(path)


def lock_of(store: Store, clock: Clock, waiting: Callable[[str], None] = lambda _: None) -> Lock:
    """The lock of a run directory; `waiting` is told when a silent holder is watched before it is taken for dead."""
    if isinstance(store, ObjectStore):
        return ObjectLock(store, clock, waiting=waiting)
    assert isinstance(store, LocalStore)  # noqa: S101 - there is no third kind
    return LocalLock(store.root, store, clock)


def holder_of(path: RunPath, clock: Clock) -> dict[str, Any] | None:
    """What the living driver of the run last told (pid, host, heartbeat, epoch, running); None when there is none."""
    return holder(ObjectStore(path.url), clock.now()) if isinstance(path, Remote) else LocalLock.holder(path)


def running_at(path: RunPath, clock: Clock) -> int:
    """Attempts in flight as the living driver last told; 0 when there is none."""
    return int((holder_of(path, clock) or {}).get("running", 0))
