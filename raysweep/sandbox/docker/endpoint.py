"""Where the engine listens: as `docker` finds it, and where Docker Desktop, Colima and podman put their sockets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import UnsuitableError

REMEDY = "start Docker (or `podman system service --time=0`), or say where it listens by DOCKER_HOST=unix:///path"
SCHEMES = ("unix://", "tcp://", "http://", "https://")
ABSENT = "no Docker Engine was found"


def find_endpoint(given: str | None, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """URL of the engine: `given`, else $DOCKER_HOST, else docker's current context, else the first usual socket.

    UnsuitableError when there is none, or when its scheme is not one of SCHEMES.
    """
    home = home or Path.home()
    url = given or environ.get("DOCKER_HOST") or _context_host(environ, home)
    if url is None:
        sockets = (path for path in usual_sockets(environ, home) if path.is_socket())
        path = next(sockets, None)
        if path is None:
            raise UnsuitableError(ABSENT, REMEDY)
        return f"unix://{path}"
    if not url.startswith(SCHEMES):
        raise UnsuitableError(
            f"{url} is not an address that raysweep can use", f"use one that begins with {' or '.join(SCHEMES[:2])}"
        )
    return url


def usual_sockets(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Sockets of the engines that people have, Docker's own first."""
    yield Path("/var/run/docker.sock")
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime, "docker.sock")
    for name in (".docker/run", ".colima/default", ".orbstack/run", ".rd"):
        yield home / name / "docker.sock"
    if runtime:
        yield Path(runtime, "podman/podman.sock")
    yield Path("/run/podman/podman.sock")
    yield home / ".local/share/containers/podman/machine/podman.sock"


def _context_host(environ: Mapping[str, str], home: Path) -> str | None:
    """Address in docker's current context; None for the context `default`, and where docker has no configuration."""
    folder = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    name = environ.get("DOCKER_CONTEXT") or _read(folder / "config.json").get("currentContext")
    if not isinstance(name, str) or name == "default":
        return None
    meta = _read(folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json")
    host = meta.get("Endpoints", {}).get("docker", {}).get("Host")
    return host if isinstance(host, str) and host else None


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}
