"""The attacks of raysweep.testing.attacks on containers of a real engine, by a task that is root."""

from __future__ import annotations

import pytest

from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.testing.attacks import SandboxAttacks

pytestmark = pytest.mark.docker


class TestDockerAttacks(SandboxAttacks):
    @pytest.fixture
    def provider(self, test_image):
        return DockerProvider(image=test_image, pull="never")
