"""The agents that come with raysweep, and plug-ins that break a rule each, in the conformance suite for agents."""

from __future__ import annotations

import asyncio
import time

import pytest

from raysweep.agent import make_agent
from raysweep.record.evidence import AgentFacts
from raysweep.tasks.model import Task
from raysweep.testing.agent_conformance import AgentConformance
from raysweep.units import Resources


class TestBuiltIn(AgentConformance):
    @pytest.fixture(params=["oracle", "nop", "scripted"])
    def agent(self, request):
        return make_agent(request.param, {"strategy": "lean"} if request.param == "scripted" else {})


class Rude:
    """Breaks the rule that it is named after."""

    kind = "rude"
    cooperative = True

    def __init__(self, how):
        self.how = how
        self.calls = 0

    def unfit(self, task):
        return None

    async def run(self, sandbox, task, *, seed, timeout_s):
        self.calls += 1
        if self.how == "blocks":
            time.sleep(1.5)  # noqa: ASYNC251 - the rule that it breaks
        if self.how == "late":
            await asyncio.sleep(3600)
        if self.how == "other seed":
            await sandbox.exec(f"step-{self.calls}", ["true"])
        if self.how == "unnamed":
            return AgentFacts(command=(await sandbox.exec("something", ["true"])).facts)
        return None if self.how == "no facts" else AgentFacts()


@pytest.mark.parametrize(
    ("how", "case"),
    [
        ("no facts", "test_it_gives_facts_and_no_error_where_commands_work"),
        ("other seed", "test_the_same_seed_gives_the_same_calls"),
        ("unnamed", "test_it_names_the_command_that_is_the_agent"),
        ("late", "test_it_ends_by_itself_at_its_time_limit"),
        ("blocks", "test_it_blocks_nobody_where_it_says_that_it_is_cooperative"),
    ],
)
async def test_the_suite_finds_an_agent_that_breaks_a_rule(how, case):
    with pytest.raises(AssertionError):
        await getattr(AgentConformance(), case)(Rude(how), Task("one", "sha256:0", Resources()))
