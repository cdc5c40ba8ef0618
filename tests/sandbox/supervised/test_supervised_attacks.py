"""The attacks of raysweep.testing.attacks on the supervised sandbox, its container made of namespaces here."""

from __future__ import annotations

import pytest

from raysweep.testing.attacks import SandboxAttacks
from support.supervised_process import ProcessProvider

pytestmark = pytest.mark.sandbox


class TestSupervisedAttacks(SandboxAttacks):
    @pytest.fixture
    def provider(self, needs_process):
        return ProcessProvider(needs_process)
