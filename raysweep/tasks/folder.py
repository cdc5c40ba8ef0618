"""Folders as values: a content digest and a deterministic tar archive.

Both depend on relative paths, execute bits and bytes only: not on when, where or by whom the files were written.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

IGNORED_FOLDERS = frozenset({"__pycache__"})
IGNORED_SUFFIXES = (".pyc",)


def folder_files(root: Path) -> Iterator[tuple[str, Path]]:
    """(relative POSIX path, path) of every file and symbolic link below `root`, in the order of the relative paths."""
    found = []
    for folder, names, files in os.walk(root):
        links = [n for n in names if (Path(folder) / n).is_symlink()]
        names[:] = [n for n in names if n not in IGNORED_FOLDERS and n not in links]
        for name in [*files, *links]:
            path = Path(folder) / name
            if not name.endswith(IGNORED_SUFFIXES):
                found.append((path.relative_to(root).as_posix(), path))
    yield from sorted(found)


def folder_digest(root: Path) -> str:
    """Content digest of a folder, "sha256:" and 64 hex digits; __pycache__ and *.pyc do not count.

    Every field is preceded by its length, so that no two folders give the same stream of bytes.
    """
    sha = hashlib.sha256()
    for name, path in folder_files(root):
        if path.is_symlink():
            kind, data = b"l", str(path.readlink()).encode()
        else:
            kind, data = (b"x" if os.access(path, os.X_OK) else b"-"), path.read_bytes()
        for part in (name.encode(), kind, data):
            sha.update(len(part).to_bytes(8, "big"))
            sha.update(part)
    return "sha256:" + sha.hexdigest()


def tar_folder(root: Path, *, leave_out: Collection[str] = ()) -> bytes:
    """A tar archive (POSIX pax) of the files and folders below `root`; the same contents give the same bytes.

    leave_out: relative POSIX paths that stay out, with everything below them. Owner is root, times are 0.
    """
    buffer = io.BytesIO()
    folders: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in folder_files(root):
            parts = name.split("/")
            parents = ["/".join(parts[: i + 1]) for i in range(len(parts))]
            if not any(p in leave_out for p in parents):
                for parent in parents[:-1]:
                    if parent not in folders:
                        folders.add(parent)
                        archive.addfile(_folder_entry(parent))
                _add(archive, name, path)
    return buffer.getvalue()


def _folder_entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
        return
    data = path.read_bytes()
    entry.size, entry.mode = len(data), 0o755 if os.access(path, os.X_OK) else 0o644
    archive.addfile(entry, io.BytesIO(data))


def untar_file(archive: bytes) -> bytes | None:
    """The bytes of the one regular file in a tar archive as `Sandbox.get` returns it; None when it holds none."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        for entry in opened:
            if entry.isreg():
                stream = opened.extractfile(entry)
                return stream.read() if stream is not None else None
    return None
