"""An image of nothing but the supervisor, for probes: no registry is asked, and any engine can run it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping

from aiodocker import DockerError

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.engine import Engine, ask
from raysweep.sandbox.docker.images import look_up
from raysweep.sandbox.docker.payload import supervisor_archive

NAME = "raysweep-probe"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def load_scratch(engine: Engine, machine: str) -> str:
    """Name of the image on this engine, loaded where it is not there yet. `machine`: as the engine's info tells it.

    It is always the same image under the same name, so it is left for the next time. SandboxError("image") when the
    engine does not take it, ValueError for a machine without a supervisor.
    """
    architecture = ARCHITECTURES.get(machine, machine)
    layer = supervisor_archive(architecture)
    name = f"{NAME}:{hashlib.sha256(layer).hexdigest()[:12]}-{architecture}"
    if await look_up(engine, name) is None:
        try:
            await ask(engine.docker.images.import_image(image_archive(name, architecture, layer)))
        except DockerError as error:
            raise SandboxError("image", f"the engine does not take the probes' image: {error.message}") from error
    return name


def image_archive(name: str, architecture: str, layer: bytes) -> bytes:
    """An image of one layer as `docker load` takes it; the same arguments give the same image id everywhere."""
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "raysweep"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
