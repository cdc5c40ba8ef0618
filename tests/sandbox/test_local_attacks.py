"""The attacks of raysweep.testing.attacks on local sandboxes, as whoever runs pytest."""

from __future__ import annotations

import pytest

from raysweep.testing.attacks import SandboxAttacks
from support.local_sandboxes import SCRATCH, make_provider

pytestmark = pytest.mark.sandbox


class TestLocalAttacks(SandboxAttacks):
    @pytest.fixture
    def provider(self):
        SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
        return make_provider(SCRATCH)
