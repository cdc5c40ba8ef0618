"""Folders as values: a content digest and a deterministic tar archive, as `COPY` of a Dockerfile would copy them.

The digest depends on relative paths, execute bits and bytes only: not on when, where or by whom the files were
written. The archive keeps all permission bits. What file managers and editors leave behind counts in neither.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

LEAVINGS = (
    ".DS_Store", "._*", "Thumbs.db", "desktop.ini", ".directory",  # file managers
    "*~", ".*.sw?", ".#*", "#*#", ".~lock.*#", ".idea", ".vscode",  # editors
)  # fmt: skip
"""Names of files and folders that file managers and editors leave in a folder: never part of a task."""
CACHES = "__pycache__"
SIZE_LIMIT = 2 << 30
"""Bytes of a task's files: a run keeps each task in one object, and copies it into every sandbox."""
_ODD_TYPES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


def folder_entries(root: Path) -> Iterator[tuple[str, Path]]:
    """(relative POSIX path, path) of all files, links and folders below `root`, sorted by the relative path.

    Links are not followed. Names that are not UTF-8 hold surrogates, as in `os.fsdecode`.
    """
    entries = []
    for at, folders, files in os.walk(root):
        links = [n for n in folders if Path(at, n).is_symlink()]
        folders[:] = [n for n in folders if n not in links and not _is_leaving(n)]
        for name in (*files, *links, *folders):
            if not _is_leaving(name):
                path = Path(at, name)
                entries.append((path.relative_to(root).as_posix(), path))
    yield from sorted(entries)


def odd_entries(root: Path) -> Iterator[tuple[str, str]]:
    """(relative path, what it is) of entries below `root` that cannot be copied: pipes, sockets, devices, no right."""
    for name, path in folder_entries(root):
        kind = stat.S_IFMT(path.lstat().st_mode)
        if kind in _ODD_TYPES:
            yield name, _ODD_TYPES[kind]
        elif kind != stat.S_IFLNK and not os.access(path, os.R_OK):
            yield name, "not readable"


def folder_digest(root: Path) -> str:
    """Content digest of a folder, "sha256:" and 64 hex digits.

    An interpreter's cache of a source file beside it does not count: running the tests by hand changes no task. Of
    folders only empty ones count. Every field is preceded by its length, so that no two folders give the same bytes.
    """
    sha = hashlib.sha256()
    for name, path, kind in counted_entries(root):
        if kind == b"+":
            continue
        for part in (os.fsencode(name), kind, _content(path, kind)):
            sha.update(len(part).to_bytes(8, "big"))
            sha.update(part)
    return "sha256:" + sha.hexdigest()


def counted_entries(root: Path) -> Iterator[tuple[str, Path, bytes]]:
    """(relative path, path, kind) of what makes a folder the task that it is.

    Kinds: l a link, d an empty folder, + a folder with something in it (its path is in those of its contents), x a file
    that somebody may run, - any other file. An execute bit counts whoever reads it, on any file system.
    """
    for name, path in folder_entries(root):
        if path.is_symlink():
            yield name, path, b"l"
        elif path.is_dir():
            if path.name == CACHES and all(_is_leaving(e.name) or _is_cache(e) for e in path.iterdir()):
                continue
            empty = path.name != CACHES and all(_is_leaving(entry.name) for entry in path.iterdir())
            yield name, path, b"d" if empty else b"+"
        elif not _is_cache(path):
            yield name, path, b"x" if path.stat().st_mode & 0o111 else b"-"


def changed_entries(before: Path, now: Path) -> list[str]:
    """Relative paths that differ between two folders, as far as a digest counts them, sorted."""
    was, is_now = (
        {name: (kind, path) for name, path, kind in counted_entries(root) if kind != b"+"} for root in (before, now)
    )
    return sorted(
        name
        for name in {*was, *is_now}
        if name not in was
        or name not in is_now
        or was[name][0] != is_now[name][0]
        or _content(was[name][1], was[name][0]) != _content(is_now[name][1], is_now[name][0])
    )


def size_of(root: Path) -> int:
    """Bytes of all files below `root`."""
    return sum(path.lstat().st_size for _, path in folder_entries(root) if not path.is_dir())


def _content(path: Path, kind: bytes) -> bytes:
    """What counts of an entry besides its name and kind."""
    if kind == b"l":
        return os.fsencode(path.readlink())
    return b"" if kind in {b"d", b"+"} else path.read_bytes()


def tar_folder(root: Path, *, leave_out: Collection[str] = ()) -> bytes:
    """A tar archive (POSIX pax) of the files and folders below `root`; the same contents give the same bytes.

    leave_out: relative POSIX paths that stay out, with everything below them. Owner is root, times are 0, permission
    bits are kept.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in folder_entries(root):
            parts = name.split("/")
            if not any("/".join(parts[: i + 1]) in leave_out for i in range(len(parts))):
                add_entry(archive, name, path)
    return buffer.getvalue()


def add_entry(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Add one file, link or folder under `name`: root's, time 0, its own permission bits."""
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
        return
    entry.mode = stat.S_IMODE(path.stat().st_mode)
    if path.is_dir():
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        return
    data = path.read_bytes()
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _is_leaving(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in LEAVINGS)


def _is_cache(path: Path) -> bool:
    """Whether `path` is bytecode in __pycache__ whose source lies where Python compiled it from."""
    if path.suffix != ".pyc" or path.parent.name != CACHES:
        return False
    return (path.parent.parent / f"{path.name.split('.')[0]}.py").is_file()
