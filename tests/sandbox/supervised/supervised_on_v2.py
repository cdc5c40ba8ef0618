"""Memory cases on cgroup v2, single victims and whole groups; test_supervised_v2.py runs this file on such a Linux.

With memory.oom.group the kernel kills the supervisor too. The platform's word is then what a kubelet would say.
"""

from __future__ import annotations

import pytest

from raysweep.sandbox.cgroup.place import find_parent
from raysweep.sandbox.supervised.container import Ending
from raysweep.testing.conformance_bench import LIMIT, allocate, shell, succeeded
from raysweep.testing.conformance_bounds import BoundsCases
from raysweep.testing.conformance_memory import MemoryCases
from raysweep.units import MIB, Resources
from support.attempts import CHILD, HOG, attempt, verdict
from support.supervised_process import ProcessContainer, ProcessProvider


class GroupContainer(ProcessContainer):
    """As the kubelet makes them on v2: a kill in it takes all of it."""

    def _build(self):
        super()._build()
        self.group.write("memory", "memory.oom.group", 1)
        self.word = Ending(ended=True, oom_killed=True)


class GroupProvider(ProcessProvider):
    def container(self, spec):
        return GroupContainer(spec, self.home, self.scratch)


class TestOneVictimAtATime(MemoryCases, BoundsCases):
    @pytest.fixture
    def provider(self, needs_process):
        return ProcessProvider(needs_process)

    @pytest.fixture
    def crowded_provider(self, needs_process):
        return ProcessProvider(needs_process, memory=96 * MIB)


@pytest.fixture
def groups(needs_process):
    return GroupProvider(needs_process)


def test_this_is_cgroup_v2():
    assert find_parent(None).version == 2


async def test_a_hog_takes_its_sandbox_with_it_and_room_proves_whose_limit_it_was(groups, tmp_path):
    done = await attempt(tmp_path, tmp_path, "1x", HOG.format(sleep=0), provider=groups)
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")
    assert done.evidence.counters["agent"].oom_group
    assert done.evidence.counters["agent"].ancestor_room_bytes >= 2 * 64 * MIB
    assert done.row["node"]["oom"] == "group"
    assert groups.traces() == set()


async def test_a_childs_oom_is_the_end_of_the_sandbox_too(groups, tmp_path):
    done = await attempt(tmp_path, tmp_path, "1x", CHILD, provider=groups)
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")


async def test_a_full_parent_of_an_uncapped_sandbox_is_never_its_limit(needs_process, tmp_path):
    crowded = GroupProvider(needs_process, memory=96 * MIB)
    done = await attempt(tmp_path, tmp_path, "uncapped", HOG.format(sleep=0), provider=crowded)
    assert verdict(done)[:2] == ("infra", "oom_node")


async def test_commands_and_counters_of_a_group_that_lives(groups):
    spec = MemoryCases().spec(limit=Resources(cpu=1000, memory=LIMIT))
    sandbox = groups.open(spec)
    try:
        await sandbox.start()
        assert succeeded(await allocate(sandbox, LIMIT // 2))
        assert succeeded(await shell(sandbox, "true"))
        counters = await sandbox.counters()
    finally:
        await sandbox.stop()
    assert (counters.oom_kills, counters.own_limit_ooms, counters.oom_group) == (0, 0, False)
