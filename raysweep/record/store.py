"""Where the files of a run directory live: small named blobs, written once, visible whole or not at all.

Belongs here: the Store protocol and the local one. An object store implements the same calls with create-only writes
(record.objectstore); nothing above record.place knows which one it has.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from raysweep.errors import InputError, bad_input
from raysweep.record.exchange import exchange


class Store(Protocol):
    """Blobs under names such as "ledger/segment-0001-000001.parquet"; InputError says why a write is not possible."""

    @property
    def where(self) -> str:
        """What a person calls the place: a path or a URL."""
        ...

    def put_new(self, name: str, data: bytes) -> None:
        """Write `data` durably and atomically under a new name; FileExistsError when the name is taken."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Write `data` under a name that may be taken: for what is derived (reports) or nobody else writes (traces)."""
        ...

    def get(self, name: str) -> bytes:
        """The blob; FileNotFoundError when there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Sorted names of the blobs directly in `folder` (without it); empty when there is no such folder."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        ...

    def remove(self, name: str) -> None:
        """Remove the blob, or a folder that `regroup` returned; nothing happens when there is none."""
        ...

    def regroup(self, folder: str, without: Collection[str], bring: Collection[str]) -> str | None:
        """In one moment for whoever lists `folder`: the names `without` go, the blobs `bring` have a name there too.

        Returns the name of a folder with what was there before, to be removed when no listing can still be in it; None
        where the place cannot do this, and nothing is changed.
        """
        ...


class LocalStore:
    """A directory of a local file system: temporary file, fsync, hard link (create-only), fsync of the directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        """As Store.where."""
        return str(self.root)

    def put_new(self, name: str, data: bytes) -> None:
        """As Store.put_new; a crash at any moment leaves the name absent or whole, never torn."""
        target = self.root / name
        with named_failures(target), _temporary(target, data) as temporary:
            os.link(temporary, target)

    def replace(self, name: str, data: bytes) -> None:
        """As Store.replace; readers see the old blob or the new one."""
        target = self.root / name
        with named_failures(target), _temporary(target, data) as temporary:
            temporary.replace(target)

    def get(self, name: str) -> bytes:
        """As Store.get."""
        with named_failures(self.root / name):
            return (self.root / name).read_bytes()

    def names(self, folder: str) -> list[str]:
        """As Store.names; leftovers of interrupted writes (dot files) are not blobs."""
        try:
            with named_failures(self.root / folder):
                return sorted(p.name for p in (self.root / folder).iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        """As Store.exists."""
        with named_failures(self.root / name):
            return (self.root / name).exists()

    def remove(self, name: str) -> None:
        """As Store.remove."""
        with named_failures(self.root / name):
            if (self.root / name).is_dir():
                shutil.rmtree(self.root / name, ignore_errors=True)
            else:
                (self.root / name).unlink(missing_ok=True)

    def regroup(self, folder: str, without: Collection[str], bring: Collection[str]) -> str | None:
        """As Store.regroup."""
        with named_failures(self.root / folder):
            before = exchange(self.root / folder, without, [self.root / name for name in bring])
        return None if before is None else before.name


@contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    """A durable file with `data` beside `target`, gone at the end unless it was moved; then the folder is synced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


_FAILURES = {
    errno.ENOSPC: ("no space is left on the device", "free space there"),
    errno.EDQUOT: ("the quota of disk space is used up", "free space there"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or choose another --run-dir"),
    errno.EACCES: ("permission is denied", "give the user that runs raysweep access to it"),
    errno.EPERM: ("permission is denied", "give the user that runs raysweep access to it"),
    errno.EIO: ("the device cannot read or write it", "look at the kernel's log and at the disk"),
}
_SAFE = "what is sealed is kept, and the same command resumes"


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """Turn a failure of the device or of permissions into InputError with the file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FAILURES:
            raise
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> InputError:
    """What to tell of a file that the operating system refuses."""
    message, remedy = _FAILURES.get(error.errno or 0, (error.strerror or str(error), "see to it"))
    return bad_input(message, f"{remedy}; {_SAFE}", file=str(path))
