"""The engine that the tests of this folder run on, and what they look at on it."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest

from raysweep.sandbox.docker.engine import Engine
from raysweep.sandbox.docker.payload import VOLUME_PREFIX
from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.sandbox.docker.shape import RUN_LABEL
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources


@pytest.fixture(scope="session")
def engine_url():
    """Address of a real engine; skips, visibly, where none is told (`.ci/dockerd up` starts one)."""
    url = os.environ.get("DOCKER_HOST")
    if not url or "RAYSWEEP_DOCKER_TEST_IMAGE" not in os.environ:
        pytest.skip("needs $DOCKER_HOST and $RAYSWEEP_DOCKER_TEST_IMAGE: eval $(.ci/dockerd up ARCHIVE)")
    return url


@pytest.fixture(scope="session")
def test_image(engine_url):
    """An image with bash, coreutils and python3 that the engine has."""
    return os.environ["RAYSWEEP_DOCKER_TEST_IMAGE"]


@pytest.fixture
async def engine(engine_url):
    async with Engine(engine_url) as client:
        yield client


@pytest.fixture
def engine_traces(engine_url):
    """All that sandboxes could leave on the engine: containers of ours, anonymous volumes, nameless images."""

    async def look() -> set[str]:
        async with Engine(engine_url) as client:
            found = {f"container {one['Id']}" for one in await client.labelled(RUN_LABEL)}
            volumes = await client.docker.volumes.list()
            names = [one["Name"] for one in volumes["Volumes"] or ()]
            # The supervisor's own is left for the next run.
            found |= {f"volume {name}" for name in names if not name.startswith(VOLUME_PREFIX)}
            images = await client.docker.images.list(filters={"dangling": ["true"]})
            return found | {f"image {one['Id']}" for one in images}

    def look_in_thread() -> set[str]:
        from raysweep.sandbox.threads import in_thread

        return in_thread(look())

    return look_in_thread


@pytest.fixture
def provider(test_image):
    """A provider of the test image that never asks a registry."""
    return DockerProvider(image=test_image, pull="never")


@pytest.fixture
def spec():
    """A function that makes specs of small sandboxes with names of their own."""
    numbers = itertools.count(1)

    def make(**changes) -> SandboxSpec:
        limit = Resources(cpu=1000, memory=64 * MIB)
        usual = {"run_id": f"tests-{os.getpid()}", "name": f"one-{next(numbers)}", "request": limit, "limit": limit}
        return SandboxSpec(**{**usual, **changes})

    return make


@pytest.fixture
def until():
    """Waits, with patience, until an async condition holds, and returns its value."""

    async def wait(condition, seconds: float = 120.0):
        async with asyncio.timeout(seconds):
            while not (value := await condition()):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)
            return value

    return wait
