"""The static binary that is process 1 in containers: its C source, the build, the committed binaries and their sums.

Belongs here: what is needed to build, check and find the binary. Its Python client is `raysweep.sandbox.supervised`.
"""

from __future__ import annotations

from pathlib import Path

PLACE = "/.raysweep/supervisor"
"""Where the binary lies inside a container: in a folder that is a mount, directly below /. A mount cannot be renamed,
while a folder above one could be."""

SPOOL = "/.raysweep-spool"
"""Folder inside a container where the supervisor keeps output and archives under way."""

KEPT = "/.raysweep-kept"
"""Folder of a keeper's container, which no task sees, where it keeps the samples."""

FOLDER = Path(__file__).parent
MACHINES = {"amd64": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}


def binary(machine: str) -> Path:
    """The binary for a machine named as Docker, Kubernetes or uname name it; ValueError for others."""
    known = MACHINES.get(machine.lower())
    if known is None:
        raise ValueError(f"no supervisor for machine {machine!r}: amd64 and arm64 are supported")
    return FOLDER / "bin" / f"raysweep-supervisor-{known}"
