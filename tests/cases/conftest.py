"""The kinds of sandboxes in which the sweeps of this folder run."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(
    scope="module",
    params=[pytest.param("local", marks=pytest.mark.sandbox), pytest.param("docker", marks=pytest.mark.docker)],
)
def sandbox_section(request):
    """The value of a sweep's key `sandbox`; skips, visibly, where the kind cannot be had."""
    if request.param == "local":
        request.getfixturevalue("needs_local")
        return "{kind: local, pids: 64}"
    return docker_section()


def docker_section():
    """The value of a sweep's key `sandbox` for containers of an engine; skips, visibly, where there is none."""
    image = os.environ.get("RAYSWEEP_DOCKER_TEST_IMAGE")
    if not os.environ.get("DOCKER_HOST") or not image:
        pytest.skip("needs $DOCKER_HOST and $RAYSWEEP_DOCKER_TEST_IMAGE: eval $(.ci/dockerd up ARCHIVE)")
    return f"{{kind: docker, image: '{image}', pull: never, pids: 64}}"


@pytest.fixture
def sandbox_of_docker():
    """The value of a sweep's key `sandbox` for containers of an engine; skips, visibly, where there is none."""
    return docker_section()
