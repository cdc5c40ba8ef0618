"""What is put into a container before it starts: folders for the task, and the supervisor's volume.

The supervisor lies in a volume of the engine, one for each version of the binary, that containers mount read-only
directly below /: a task that is root inside can neither write, rename nor remove it. An engine keeps the volume (some
100 kB) for the next run.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import secrets
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from aiodocker import DockerError

from raysweep.sandbox.docker.engine import Engine
from raysweep.sandbox.supervisor import PLACE, SPOOL, binary

FOLDER, _, FILE = PLACE.rpartition("/")
VOLUME_PREFIX = "raysweep-supervisor-"


@functools.lru_cache(maxsize=8)
def volume_name(architecture: str) -> str:
    """Name of the volume with the supervisor of an architecture. ValueError: no binary for that machine."""
    program = binary(architecture)
    return f"{VOLUME_PREFIX}{program.name.rpartition('-')[2]}-{hashlib.sha256(program.read_bytes()).hexdigest()[:16]}"


def volume_mount(architecture: str, *, read_only: bool = True) -> dict[str, Any]:
    """The mount of that volume; without a copy of what an image may have at its place."""
    return {
        "Type": "volume",
        "Source": volume_name(architecture),
        "Target": FOLDER,
        "ReadOnly": read_only,
        "VolumeOptions": {"NoCopy": True},
    }


async def fill_volume(engine: Engine, container: str, image: str, architecture: str, labels: Mapping[str, str]) -> None:
    """Put the supervisor into its volume, by a container that never runs, unless `container` sees it there whole."""
    program = binary(architecture).read_bytes()
    seen = await engine.stat(container, PLACE)
    if seen is not None and seen.get("size") == len(program):
        return
    name = f"raysweep-fill-{secrets.token_hex(8)}"
    config = {
        "Image": image,
        "Entrypoint": [PLACE, "true"],
        "Cmd": [],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "none", "Mounts": [volume_mount(architecture, read_only=False)]},
    }
    try:
        await engine.create(name, config)
        await engine.put(name, _archive([_file(FILE, program)]), FOLDER)
    finally:
        with contextlib.suppress(DockerError, ConnectionError):  # gc takes what is left of a dead owner
            await engine.remove(name)


@functools.lru_cache(maxsize=8)
def folders_archive(folders: tuple[str, ...] = ()) -> bytes:
    """A tar archive to be unpacked at /: the spool and `folders`, absolute paths.

    The spool is writable by all because an image may run as any user.
    """
    return _archive([(_folder(SPOOL, 0o1777), b""), *((_folder(path, 0o755), b"") for path in folders)])


def supervisor_archive(architecture: str) -> bytes:
    """A tar archive to be unpacked at /, as the layer of an image with nothing but the supervisor and its spool.

    ValueError: no binary for that machine.
    """
    program = binary(architecture).read_bytes()
    return _archive([(_folder(FOLDER, 0o755), b""), (_folder(SPOOL, 0o1777), b""), _file(PLACE.lstrip("/"), program)])


def _archive(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o555
    return entry, content


def _folder(path: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    return entry
