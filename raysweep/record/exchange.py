"""Changing many names of a local folder in one moment, for whoever lists it or opens files in it.

A second folder with hard links to what is to be there takes the first one's place (renameat2, RENAME_EXCHANGE; macOS:
renamex_np, RENAME_SWAP). POSIX has no other way to make one file stand for many without a moment in which both or
neither are there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import uuid
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

MARK = ".swap-"
"""In the names of folders that are about to take a place or had it: `<folder>.swap-<id>`."""
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def exchange(folder: Path, without: Collection[str], bring: Collection[Path]) -> Path | None:
    """Take the names `without` out of `folder` and put the files `bring` in; None where the file system cannot do it.

    Returns the folder with what was there before, which the caller removes once no listing can still be in it. A crash
    at any moment leaves the old names or the new ones, and perhaps a folder with MARK in its name.
    """
    other = folder.with_name(f"{folder.name}{MARK}{uuid.uuid4().hex[:8]}")
    other.mkdir()
    try:
        _link_missing(folder, other, without)
        for path in bring:
            os.link(path, other / path.name)
        _sync(other)
        swapped = _swap(folder, other)
    except BaseException:
        shutil.rmtree(other, ignore_errors=True)
        raise
    if not swapped:
        shutil.rmtree(other, ignore_errors=True)
        return None
    _link_missing(other, folder, without)  # what another host's writer put there since it was listed
    _sync(folder.parent)
    return other


def _link_missing(source: Path, target: Path, without: Collection[str]) -> None:
    with os.scandir(source) as entries:
        names = [e.name for e in entries if not e.name.startswith(".") and e.name not in without]
    for name in names:
        if not (target / name).exists():
            os.link(source / name, target / name)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@cache
def _call() -> tuple[Any, tuple[Any, ...]] | None:
    """The system's call and the arguments around the two paths; None where it has none."""
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        function = getattr(library, "renamex_np", None)
        return None if function is None else (function, ())
    function = getattr(library, "renameat2", None)
    return None if function is None else (function, (_AT_FDCWD,))


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders; False where system or file system cannot."""
    call = _call()
    if call is None:
        return False
    function, place = call
    flag = ctypes.c_uint(_RENAME_SWAP if sys.platform == "darwin" else _RENAME_EXCHANGE)
    result: int = function(*place, os.fsencode(one), *place, os.fsencode(other), flag)
    return result == 0
