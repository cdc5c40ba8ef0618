"""Where the files of a run directory live: small named blobs, written once, visible whole or not at all.

Belongs here: the Store protocol and the local one. An object store implements the same four calls with create-only
writes; nothing above this module knows which one it has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Blobs under names such as "ledger/segment-0001-000001.parquet"."""

    def put_new(self, name: str, data: bytes) -> None:
        """Write `data` durably and atomically under a new name; FileExistsError when the name is taken."""
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


class LocalStore:
    """A directory of a local file system: temporary file, fsync, hard link (create-only), fsync of the directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_new(self, name: str, data: bytes) -> None:
        """As Store.put_new; a crash at any moment leaves the name absent or whole, never torn."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def get(self, name: str) -> bytes:
        """As Store.get."""
        return (self.root / name).read_bytes()

    def names(self, folder: str) -> list[str]:
        """As Store.names; leftovers of interrupted writes (dot files) are not blobs."""
        try:
            return sorted(p.name for p in (self.root / folder).iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        """As Store.exists."""
        return (self.root / name).exists()
