"""The conformance suite on the supervised sandbox, its container made of namespaces on this machine."""

from __future__ import annotations

import pytest

from raysweep.sandbox.cgroup.kmsg import KernelLog
from raysweep.testing.conformance import SandboxConformance
from raysweep.testing.conformance_bench import LIMIT, allocate
from raysweep.units import MIB
from support.supervised_process import ProcessProvider

pytestmark = pytest.mark.sandbox


class TestSupervisedConformance(SandboxConformance):
    @pytest.fixture
    def provider(self, needs_process):
        return ProcessProvider(needs_process)

    @pytest.fixture
    def crowded_provider(self, needs_process):
        return ProcessProvider(needs_process, memory=96 * MIB)

    @pytest.fixture
    def traces(self, provider):
        return provider.traces

    # A test backend has no runner that could die, and no process to travel to.
    test_gc_of_a_run_removes_live_sandboxes_but_those_kept = None
    test_a_provider_travels_between_processes = None

    async def test_the_kernel_log_decides_where_the_backend_reads_it(self, needs_process):
        log = KernelLog()
        try:
            assert log.readable or pytest.skip("the kernel log cannot be read here")
            async with self.sandbox(ProcessProvider(needs_process, kernel_log=log)) as sandbox:
                await allocate(sandbox, 2 * LIMIT)
                counters = await sandbox.counters()
        finally:
            log.close()
        assert counters.oom_memcg_own is True
        assert counters.mem_anon_peak_bytes > 0.5 * LIMIT
