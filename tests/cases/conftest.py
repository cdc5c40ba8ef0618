"""The kinds of sandboxes in which the sweeps of this folder run."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("local", marks=pytest.mark.sandbox),
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("pods", marks=pytest.mark.cluster),
    ],
)
def sandbox_section(request):
    """The value of a sweep's key `sandbox`; skips, visibly, where the kind cannot be had."""
    if request.param == "local":
        request.getfixturevalue("needs_local")
        return "{kind: local, pids: 64}"
    return docker_section() if request.param == "docker" else request.getfixturevalue("sandbox_of_pods")


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


@pytest.fixture(scope="session")
def sandbox_of_pods():
    """The value of a sweep's key `sandbox` for pods, in a namespace of this session; skips where there is none."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set")
    image, namespace = (
        os.environ.get("RAYSWEEP_TEST_IMAGE", "localhost/task:dev"),
        f"raysweep-cases-{uuid.uuid4().hex[:8]}",
    )
    asyncio.run(_change("create", namespace))
    yield f"{{kind: kubernetes, namespace: {namespace}, image: '{image}', allow_unreachable_limits: true}}"
    asyncio.run(_change("delete", namespace))


async def _change(verb, namespace):
    from raysweep.apiserver import Api

    api = await Api.connect()
    try:
        if verb == "create":
            await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        else:
            await api.delete(f"/api/v1/namespaces/{namespace}")
    finally:
        await api.close()
