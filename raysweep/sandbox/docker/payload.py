"""What is put into a container before it starts: the supervisor, its spool, and the folders that every task may use."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Iterable

from raysweep.sandbox.supervisor import PLACE, SPOOL, binary


@functools.lru_cache(maxsize=8)
def supervisor_archive(architecture: str, folders: tuple[str, ...] = ()) -> bytes:
    """A tar archive to be unpacked at /. `folders`: absolute paths to be made. ValueError: no binary for that machine.

    The spool is writable by all because an image may run as any user.
    """
    buffer = io.BytesIO()
    program = binary(architecture).read_bytes()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        bin_folder = PLACE.rpartition("/")[0]
        for folder in _with_parents((bin_folder, SPOOL)):
            archive.addfile(_folder(folder, 0o1777 if folder == SPOOL else 0o755))
        for folder in folders:
            archive.addfile(_folder(folder, 0o755))
        entry = tarfile.TarInfo(PLACE.lstrip("/"))
        entry.size, entry.mode = len(program), 0o555
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


def _folder(path: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    return entry


def _with_parents(paths: Iterable[str]) -> list[str]:
    folders: dict[str, None] = {}
    for path in paths:
        parts = path.strip("/").split("/")
        folders |= {"/" + "/".join(parts[: i + 1]): None for i in range(len(parts))}
    return list(folders)
