"""The conformance suite on containers of a real engine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.testing.conformance import SandboxConformance
from raysweep.units import MIB

pytestmark = pytest.mark.docker
MEMORY = Path("/sys/fs/cgroup/memory")
ROOM = 96 * MIB


def remove_group(folder: Path) -> None:
    """Remove a cgroup; the kernel may hold it for a moment after its last process."""
    until = time.monotonic() + 60
    while True:
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module")
def crowded_parent():
    """A cgroup of this machine with room for 96 MiB, by the name that the engine takes (engines on this machine only).

    cgroupfs engines put a container anywhere below the root; on cgroup v2 the parent needs its controllers first.
    """
    name = f"raysweep-crowded-{os.getpid()}"
    v1 = MEMORY.is_dir()
    folder = (MEMORY if v1 else Path("/sys/fs/cgroup")) / name
    folder.mkdir()
    (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(ROOM))
    yield f"/{name}"
    for other in Path("/sys/fs/cgroup").glob(f"*/{name}") if v1 else [folder]:
        remove_group(other)


class TestDockerConformance(SandboxConformance):
    @pytest.fixture
    def provider(self, test_image):
        # strict, because the suite looks for a sandbox without any capability
        return DockerProvider(image=test_image, capabilities="strict", pull="never")

    @pytest.fixture
    def traces(self, engine_traces):
        return engine_traces

    @pytest.fixture
    def crowded_provider(self, test_image, crowded_parent):
        return DockerProvider(image=test_image, pull="never", cgroup_parent=crowded_parent)
