"""Whether an attempt whose agent phase is over is judged by its verifier, or is decided already."""

from __future__ import annotations

from dataclasses import replace

from raysweep.record.evidence import AgentFacts, CommandFacts, Evidence, PhaseCounters
from raysweep.trial.classify import needs_verifier
from raysweep.units import MIB, Resources

ENDED = Evidence(
    limit=Resources(1000, 64 * MIB, None),
    cgroup=1,
    setup=CommandFacts(exit=0),
    agent=AgentFacts(command=CommandFacts(exit=0)),
    counters={"agent": PhaseCounters("agent")},
)


def test_an_agent_that_ended_is_judged():
    assert needs_verifier(ENDED)


def test_what_the_platform_or_the_user_ended_is_decided():
    assert not needs_verifier(replace(ENDED, platform="node_lost"))
    assert not needs_verifier(replace(ENDED, cancelled=True))


def test_a_setup_that_failed_is_decided():
    assert not needs_verifier(replace(ENDED, setup=CommandFacts(exit=1)))
