# ruff: noqa: PTH103, PTH208 - os.path is what a hot path on foreign names needs
"""Tar archives in and out of the sandbox, robust against what a task does to its own files meanwhile."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tarfile
from typing import Any


def unpack(archive: bytes, dest: str) -> None:
    """Unpack below `dest`; what stands in a member's place is replaced, never written through (links)."""
    os.makedirs(dest, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        if hasattr(tarfile, "fully_trusted_filter"):
            tar.extraction_filter = tarfile.fully_trusted_filter
        for member in tar:
            member.uid = member.gid = 0
            place = os.path.join(dest, member.name)  # noqa: PTH118 - bytes-safe and quick
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not (member.isdir() and stat.S_ISDIR(os.lstat(place).st_mode)):
                    os.unlink(place)  # noqa: PTH108
            tar.extract(member, dest)


class Bounded:
    """Takes at most `limit` bytes for `out`; OSError(EFBIG) for more."""

    def __init__(self, out: Any, limit: int) -> None:
        self.out, self.left = out, limit

    def need(self, count: int) -> None:
        """OSError(EFBIG) when `count` more bytes do not fit."""
        if count > self.left:
            raise OSError(errno.EFBIG, "the archive is larger than asked for")

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self.need(len(data))
        self.left -= len(data)
        self.out.write(data)


def pack(path: str, out: Any, limit: int) -> None:
    """Write the file or folder at `path` as a tar whose names begin with its last part.

    OSError(EFBIG) when that takes more than `limit` bytes.
    """
    bounded: Any = Bounded(out, limit)
    with tarfile.open(fileobj=bounded, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        pack_one(tar, path, os.path.basename(path.rstrip("/")) or ".", bounded)  # noqa: PTH119


def pack_one(tar: tarfile.TarFile, path: str, name: str, bounded: Bounded) -> None:
    """Add one entry and what is below it; entries that vanish meanwhile, and sockets, are left out."""
    with contextlib.suppress(FileNotFoundError):
        info = tar.gettarinfo(path, name)
        if info is None:
            return
        if not info.isreg():
            tar.addfile(info)
        else:
            bounded.need(info.size)
            if not info.mode & stat.S_IRUSR:
                os.chmod(path, info.mode | stat.S_IRUSR)  # noqa: PTH101 - no capability to read past it
            with open(path, "rb") as file:  # noqa: PTH123
                tar.addfile(info, Padded(file))
        if info.isdir():
            for entry in sorted(os.listdir(path)):
                pack_one(tar, os.path.join(path, entry), f"{name}/{entry}", bounded)  # noqa: PTH118


class Padded(io.RawIOBase):
    """A file that never ends early: one that shrinks while it is packed is filled up with zeros."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, zeros where the file has no more."""
        data: bytes = self.file.read(size)
        return data.ljust(size, b"\0")
