# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of the other bounds: processes, disk, cpu."""

from __future__ import annotations

import time

import pytest

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import LIMIT, PATIENCE_S, RUN_ID, Bench, python, succeeded
from raysweep.testing.conformance_files import archive_of
from raysweep.units import MIB, Resources

FORK_BOMB = (
    "import os, time\n"
    "children = []\n"
    "try:\n"
    "    while True:\n"
    "        pid = os.fork()\n"
    "        if pid == 0:\n"
    "            time.sleep(600)\n"
    "            os._exit(0)\n"
    "        children.append(pid)\n"
    "except OSError as error:\n"
    "    print(error.errno, len(children))\n"
    "for pid in children: os.kill(pid, 9)\n"
)
# The full file stays for a while: one that is removed within a moment may escape whoever looks at the disk.
FILL_DISK = (
    "import os, time\n"
    "n = 0\n"
    "try:\n"
    "    with open('/tmp/fill', 'wb', buffering=0) as f:\n"
    "        while n < 64: n += f.write(bytes(1 << 20)) >> 20\n"
    "    print(0, n)\n"
    "except OSError as error:\n"
    "    print(error.errno, n)\n"
    "    time.sleep(5)\n"
    "os.unlink('/tmp/fill')\n"
)
BURN = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"


class BoundsCases(Bench):
    """Each bound shows as what it is, never as an OOM."""

    async def test_a_fork_bomb_meets_eagain_and_no_kill(self, provider: SandboxProvider) -> None:
        if provider.capabilities().pids != "enforced":
            return
        async with self.sandbox(provider, pids=24) as sandbox:
            result = await python(sandbox, FORK_BOMB)
            counters = await sandbox.counters()
        assert succeeded(result)
        code, children = map(int, result.stdout.split())
        assert code == 11  # EAGAIN
        assert 10 < children < 24
        assert counters.oom_kills == 0
        assert counters.pids_denied
        assert counters.pids_peak is None or counters.pids_peak <= 25  # the refused one may count

    async def test_a_full_disk_is_enospc_where_it_is_bounded(self, provider: SandboxProvider) -> None:
        bounded = provider.capabilities().disk == "enospc"
        limit = Resources(memory=LIMIT, storage=32 * MIB)
        async with self.sandbox(provider, limit=limit) as sandbox:
            result = await python(sandbox, FILL_DISK)
            counters = await sandbox.counters()
        assert succeeded(result)
        code, written = map(int, result.stdout.split())
        if bounded:
            assert code == 28  # ENOSPC
            assert 26 <= written <= 34
            assert counters.disk_full is True
        else:
            assert code == 0
            assert counters.disk_full is not True

    async def test_files_that_do_not_fit_are_an_os_error_not_a_platform_failure(
        self, provider: SandboxProvider
    ) -> None:
        async with self.sandbox(provider, limit=Resources(memory=LIMIT, storage=32 * MIB)) as sandbox:
            assert succeeded(await python(sandbox, "open('/app/file', 'w')"))
            with pytest.raises(OSError, match="/app/file"):  # not a folder
                await sandbox.put(archive_of({"x": b"x"}), "/app/file")
            if provider.capabilities().disk == "enospc":
                with pytest.raises(OSError, match="space"):
                    await sandbox.put(archive_of({"big": bytes(48 * MIB)}), "/app")
                assert (await sandbox.counters()).disk_full is True

    async def test_a_storage_limit_is_admitted_only_where_it_is_enforced(self, provider: SandboxProvider) -> None:
        await provider.prepare(RUN_ID)
        sandbox = provider.open(self.spec(limit=Resources(memory=LIMIT, storage=32 * MIB)))
        try:
            admitted = await sandbox.start()
        finally:
            final_facts = await sandbox.stop()
        enforced = provider.capabilities().disk != "none"
        assert admitted.limit.storage == (32 * MIB if enforced else None)
        assert final_facts.actual_limit == admitted.limit

    async def test_the_cpu_quota_throttles(self, provider: SandboxProvider) -> None:
        if provider.capabilities().cpu != "enforced":
            return
        async with self.sandbox(provider, limit=Resources(cpu=200, memory=LIMIT)) as sandbox:
            end = time.monotonic() + PATIENCE_S
            while True:  # a busy machine may give less than the quota for a while, and then nothing is throttled
                assert succeeded(await python(sandbox, BURN))
                counters = await sandbox.counters()
                if (counters.nr_throttled and counters.throttled_us) or time.monotonic() > end:
                    break
        assert counters.nr_throttled
        assert counters.throttled_us
        assert counters.cpu_peak_1s is not None
        assert 50 <= counters.cpu_peak_1s <= 320  # one period of 100 ms may straddle a window's end

    async def test_bounds_are_admitted_as_asked_and_unchanged_at_the_end(self, provider: SandboxProvider) -> None:
        await provider.prepare(RUN_ID)
        spec = self.spec(limit=Resources(cpu=1500, memory=LIMIT), request=Resources(cpu=250, memory=LIMIT // 4))
        sandbox = provider.open(spec)
        try:
            admitted = await sandbox.start()
        finally:
            final_facts = await sandbox.stop()
        assert (admitted.limit.cpu, admitted.limit.memory) == (1500, LIMIT)
        assert (admitted.request.cpu, admitted.request.memory) == (250, LIMIT // 4)
        assert (final_facts.actual_limit, final_facts.actual_request) == (admitted.limit, admitted.request)
