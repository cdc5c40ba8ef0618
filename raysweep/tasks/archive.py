"""A task as one archive: deterministic, known by the digest of the folder it was made of, and checked when it is read.

What does not count in a task's digest is not in its archive: so one digest means one behaviour.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from raysweep.errors import InputError, bad_input
from raysweep.tasks.folder import add_entry, counted_entries, folder_digest

LEVEL = 6
"""Of gzip: tasks are mostly text, and each is packed once in a run."""


def pack_task(folder: Path) -> bytes:
    """The archive (tar.gz) of a task's folder; the same contents and permission bits give the same bytes."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", LEVEL, buffer, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path, _ in counted_entries(folder):
            add_entry(archive, name, path)
    return buffer.getvalue()


def unpack_task(archive: bytes, digest: str, folder: Path) -> None:
    """Unpack into `folder`, which is empty or not there.

    Raises:
        InputError: the archive is damaged, or does not hold the task of that digest.
        OSError: the folder cannot be written.

    """
    folder.mkdir(exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
            members = packed.getmembers()
            if not _stays_inside(members):
                raise _damaged(digest, "it holds names outside the task")
            packed.extraction_filter = lambda member, _: member  # rights as they were packed; names are checked
            packed.extractall(folder, members)  # noqa: S202 - as above
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(digest, str(error)) from error
    if (unpacked := folder_digest(folder)) != digest:
        raise _damaged(digest, f"its contents have the digest {unpacked}")


def _stays_inside(members: Sequence[tarfile.TarInfo]) -> bool:
    """Whether unpacking these writes below the folder only: no way up, and nothing through a link."""
    links = {member.name for member in members if member.issym()}
    for member in members:
        parts = PurePosixPath(member.name).parts
        above = {"/".join(parts[:n]) for n in range(1, len(parts))}
        if not (member.isreg() or member.isdir() or member.issym()):
            return False
        if not parts or parts[0] == "/" or ".." in parts or above & links:
            return False
    return True


def _damaged(digest: str, reason: str) -> InputError:
    return bad_input(
        f"the kept copy of a task is damaged: {reason}",
        "restore it (kept-tasks/ in the run directory) from a backup, or start a new run directory",
        value=digest,
    )
