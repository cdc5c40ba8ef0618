"""The conformance suite on local sandboxes, as whoever runs pytest on whatever cgroups are mounted here.

test_local_elsewhere.py runs this file again as an ordinary user, and on cgroup v2.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raysweep.testing.conformance import SandboxConformance
from raysweep.units import MIB
from support.local_sandboxes import SCRATCH, make_provider, traces_of

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def scratch():
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SCRATCH


class TestLocalConformance(SandboxConformance):
    @pytest.fixture
    def provider(self, scratch):
        return make_provider(scratch)

    @pytest.fixture
    def crowded_provider(self, scratch):
        return make_provider(scratch, run_memory=96 * MIB)

    @pytest.fixture
    def traces(self, provider) -> Callable[[], set[str]]:
        return lambda: traces_of(provider)
