# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of the memory limit: what kills, what does not, and whose limit it was."""

from __future__ import annotations

import pytest

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import (
    LIMIT,
    Bench,
    allocate,
    own_limit_proven,
    python,
    shell,
    succeeded,
    was_killed,
)
from raysweep.units import MIB, Resources

WRITE_LINES = (
    "import random\n"
    "r = random.Random(1)\n"
    "with open('/tmp/lines', 'w') as f:\n"
    "    for _ in range(4096): f.write(''.join(f'{r.getrandbits(60):015x}\\n' for _ in range(1024)))\n"
)


class MemoryCases(Bench):
    """Past the limit a process is killed, below it is not, and the counters say so."""

    async def test_past_the_limit_is_killed_by_that_limit(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await allocate(sandbox, 2 * LIMIT)
            counters = await sandbox.counters()
        assert was_killed(result, provider.capabilities())
        assert b"held" not in result.stdout
        assert counters.oom_kills
        assert own_limit_proven(counters, LIMIT)
        assert counters.mem_peak_bytes is not None
        assert counters.mem_peak_bytes > 0.9 * LIMIT

    async def test_below_the_limit_lives(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            assert succeeded(await allocate(sandbox, int(0.7 * LIMIT)))
            counters = await sandbox.counters()
        assert counters.oom_kills == 0
        assert not counters.own_limit_ooms
        assert counters.mem_peak_bytes is not None
        assert 0.7 * LIMIT <= counters.mem_peak_bytes <= 1.1 * LIMIT

    async def test_an_external_sort_fills_the_limit_with_page_cache_and_passes(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            assert succeeded(await python(sandbox, WRITE_LINES))
            script = "sort -S 4M -o /tmp/sorted /tmp/lines && sort -S 4M -c /tmp/sorted && wc -c < /tmp/sorted"
            result = await shell(sandbox, script)
            counters = await sandbox.counters()
        assert succeeded(result)
        assert int(result.stdout) == 64 * MIB
        assert counters.oom_kills == 0
        assert counters.mem_peak_bytes is not None
        assert counters.mem_peak_bytes > 0.9 * LIMIT

    async def test_no_limit_does_not_kill(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider, limit=Resources()) as sandbox:
            assert succeeded(await allocate(sandbox, 2 * LIMIT))
            counters = await sandbox.counters()
        assert counters.oom_kills == 0
        assert not counters.nr_throttled

    async def test_a_parent_survives_the_kill_of_its_child(self, provider: SandboxProvider) -> None:
        if provider.capabilities().oom == "group":
            pytest.skip("here one victim takes the whole sandbox")
        async with self.sandbox(provider) as sandbox:
            await sandbox.put(*_as_file("hog.py", f"x = bytearray({2 * LIMIT})"))
            result = await shell(sandbox, "python3 -S /app/hog.py; echo survived $?")
            counters = await sandbox.counters()
        assert succeeded(result)
        assert result.stdout == b"survived 137\n"
        assert counters.oom_kills == 1

    async def test_the_kill_by_a_full_parent_is_told_apart(self, crowded_provider: SandboxProvider) -> None:
        async with self.sandbox(crowded_provider, limit=Resources(memory=512 * MIB)) as sandbox:
            result = await allocate(sandbox, 256 * MIB)
            counters = await sandbox.counters()
        assert was_killed(result, crowded_provider.capabilities())
        assert counters.oom_kills
        assert not own_limit_proven(counters, 512 * MIB)
        assert counters.ancestor_full is not False

    async def test_phases_are_measured_apart(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await allocate(sandbox, int(0.7 * LIMIT))
            await sandbox.begin_phase("verifier")
            await shell(sandbox, f"python3 -S -c 'x = bytearray({2 * LIMIT})'; true")
            final_facts = await sandbox.stop()
        assert set(final_facts.counters) == {"setup", "agent", "verifier"}
        agent, verifier = final_facts.counters["agent"], final_facts.counters["verifier"]
        assert agent.oom_kills == 0
        assert verifier.oom_kills
        assert agent.mem_peak_bytes is not None
        assert verifier.mem_peak_bytes is not None
        assert agent.mem_peak_bytes < verifier.mem_peak_bytes


def _as_file(name: str, text: str) -> tuple[bytes, str]:
    from raysweep.testing.conformance_files import archive_of  # noqa: PLC0415 - only this one case needs it

    return archive_of({name: text.encode()}), "/app"
