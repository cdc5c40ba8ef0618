"""The decision table of trial.classify, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.record.evidence import (
    AgentFacts,
    CommandFacts,
    Evicted,
    Evidence,
    PhaseCounters,
    Verdict,
    VerifierFacts,
)
from raysweep.trial.classify import classify
from raysweep.units import MIB, Resources
from raysweep.vocabulary import CAUSE_CLASSES, Cause, Outcome

OK = CommandFacts(exit=0)
KILLED = CommandFacts(signal=9)
TIMED_OUT = CommandFacts(signal=9, timed_out=True, duration_s=10.0)
LIMIT = Resources(1000, 64 * MIB, None)
UNCAPPED = Resources(None, None, None)
REQUEST = Resources(1000, 64 * MIB, None)


def evidence(agent=OK, reward=1.0, *, cgroup=1, limit=LIMIT, setup=OK, **counters):
    return Evidence(
        request=REQUEST,
        limit=limit,
        cgroup=cgroup,
        setup=setup,
        agent=AgentFacts(command=agent),
        verifier=VerifierFacts(OK, reward, None if reward is not None else "no reward"),
        counters={name: PhaseCounters(name, **values) for name, values in counters.items()},
    )


def infra(cause, phase, cause_class="resource"):
    return Verdict("infra", cause, phase, cause_class)


V1_OWN = {"oom_kills": 1, "oom_memcg_own": True}
V1_PEAK = {"oom_kills": 1, "limit_peak_bytes": 64 * MIB, "ancestor_full": False}
V1_ANCESTOR = {"oom_kills": 1, "limit_peak_bytes": 64 * MIB, "ancestor_full": True}
V1_LOG_OTHER = {"oom_kills": 1, "oom_memcg_own": False, "limit_peak_bytes": 64 * MIB, "ancestor_full": False}
V2_OWN = {"oom_kills": 2, "own_limit_ooms": 1}
V2_OTHER = {"oom_kills": 1, "own_limit_ooms": 0}
V1_POD = {"oom_kills": 1, "limit_peak_bytes": 64 * MIB}
GROUP = {"oom_kills": 1, "oom_group": True}
ROOM = {"ancestor_room_bytes": 128 * MIB}
NO_ROOM = {"ancestor_room_bytes": 127 * MIB}
HOG = {"unreclaimable_last_bytes": 65 * MIB}
MODEST = {"unreclaimable_last_bytes": 10 * MIB}

CASES = {
    "scored": (evidence(agent_={}), Verdict("scored", phase="verifier")),
    "scored 0 is a score": (evidence(reward=0.0), Verdict("scored", phase="verifier")),
    "an agent that exits 1 is scored": (evidence(agent=CommandFacts(exit=1)), Verdict("scored", phase="verifier")),
    "a time-out is scored": (
        evidence(agent=CommandFacts(signal=9, timed_out=True), reward=0.0, agent_={}),
        Verdict("scored", phase="verifier"),
    ),
    "our own kill at the time-out is no OOM even when a child was OOM-killed": (
        Evidence(
            limit=LIMIT,
            cgroup=1,
            agent=AgentFacts(command=CommandFacts(signal=9, timed_out=True)),
            verifier=VerifierFacts(OK, 0.0),
            counters={"agent": PhaseCounters("agent", **V1_OWN)},
        ),
        Verdict("scored", phase="verifier"),
    ),
    "a child's death that the agent survives is scored": (
        evidence(reward=0.0, agent_=V1_OWN),
        Verdict("scored", phase="verifier"),
    ),
    "v1 kernel log names the own limit": (evidence(KILLED, None, agent_=V1_OWN), infra("oom_limit", "agent")),
    "v1 at the own limit, log silent": (evidence(KILLED, None, agent_=V1_PEAK), infra("oom_limit", "agent")),
    "v1 kernel log names another": (
        evidence(KILLED, None, agent_={**V1_LOG_OTHER, **HOG}),
        infra("oom_node", "agent"),
    ),
    "v1 ancestor full, above the request": (
        evidence(KILLED, None, agent_={**V1_ANCESTOR, **HOG}),
        infra("oom_node", "agent"),
    ),
    "v1 ancestor full, below the request": (
        evidence(KILLED, None, agent_={**V1_ANCESTOR, **MODEST}),
        infra("oom_node", "agent", "platform"),
    ),
    "v2 own limit": (evidence(KILLED, None, cgroup=2, agent_=V2_OWN), infra("oom_limit", "agent")),
    "v2 another limit": (evidence(KILLED, None, cgroup=2, agent_={**V2_OTHER, **HOG}), infra("oom_node", "agent")),
    "v2 never by the high-water mark": (
        evidence(KILLED, None, cgroup=2, agent_={**V1_PEAK, **MODEST}),
        infra("oom_node", "agent", "platform"),
    ),
    "v1 pod at its limit, last sample above half of it": (
        evidence(KILLED, None, agent_={**V1_POD, **NO_ROOM, "unreclaimable_last_bytes": 33 * MIB}),
        infra("oom_limit", "agent"),
    ),
    "v1 pod at its limit, last sample below half of it": (
        evidence(KILLED, None, agent_={**V1_POD, **NO_ROOM, "unreclaimable_last_bytes": 31 * MIB}),
        infra("oom_node", "agent", "platform"),
    ),
    "v1 pod that grew too fast for a sample, on a node with room": (
        evidence(KILLED, None, agent_={**V1_POD, **ROOM, **MODEST}),
        infra("oom_limit", "agent"),
    ),
    "v1 pod never at its limit, room or not": (
        evidence(KILLED, None, agent_={"oom_kills": 1, "limit_peak_bytes": 60 * MIB, **ROOM, **HOG}),
        infra("oom_node", "agent"),
    ),
    "v1 pod whose own failcnt did not move": (
        evidence(KILLED, None, agent_={**V1_POD, **ROOM, **HOG, "ancestor_full": True}),
        infra("oom_node", "agent"),
    ),
    "v2 group kill on a node with room": (
        replace(evidence(CommandFacts(), None, cgroup=2, agent_={**GROUP, **ROOM}), died_in="agent"),
        infra("oom_limit", "agent"),
    ),
    "v2 group kill on a node without room": (
        replace(evidence(CommandFacts(), None, cgroup=2, agent_={**GROUP, **NO_ROOM, **HOG}), died_in="agent"),
        infra("oom_unknown", "agent", "unknown"),
    ),
    "v2 group kill whose counter was read in time": (
        replace(evidence(CommandFacts(), None, cgroup=2, agent_={**GROUP, **NO_ROOM, **V2_OWN}), died_in="agent"),
        infra("oom_limit", "agent"),
    ),
    "v2 group kill, no sample to tell": (
        replace(evidence(CommandFacts(), None, cgroup=2, agent_=GROUP), died_in="agent"),
        infra("oom_unknown", "agent", "unknown"),
    ),
    "v2 group kill of an uncapped sandbox": (
        replace(evidence(CommandFacts(), None, cgroup=2, limit=UNCAPPED, agent_={**GROUP, **HOG}), died_in="agent"),
        infra("oom_node", "agent"),
    ),
    "v1 group kill, kernel log names another": (
        replace(
            evidence(CommandFacts(), None, agent_={**GROUP, **ROOM, **HOG, "oom_memcg_own": False}), died_in="agent"
        ),
        infra("oom_node", "agent"),
    ),
    "v2 group kill in the verifier": (
        replace(evidence(reward=None, cgroup=2, verifier_={**GROUP, **ROOM}), died_in="verifier"),
        infra("oom_verifier", "verifier"),
    ),
    "v2 group kill in the verifier, not proven": (
        replace(evidence(reward=None, cgroup=2, verifier_={**GROUP, **NO_ROOM}), died_in="verifier"),
        infra("oom_unknown", "verifier", "unknown"),
    ),
    "uncapped never has oom_limit": (
        evidence(KILLED, None, limit=UNCAPPED, agent_={**V1_OWN, **HOG}),
        infra("oom_node", "agent"),
    ),
    "a shell tells its child's death as 137": (
        evidence(CommandFacts(exit=137), None, agent_=V1_OWN),
        infra("oom_limit", "agent"),
    ),
    "a harness that exits 1 because its worker was killed": (
        evidence(CommandFacts(exit=1), 0.0, agent_=V1_OWN),
        infra("oom_limit", "agent"),
    ),
    "the same, and no verifier ran": (evidence(CommandFacts(exit=1), None, agent_=V1_OWN), infra("oom_limit", "agent")),
    "the same on v2": (evidence(CommandFacts(exit=1), 0.5, cgroup=2, agent_=V2_OWN), infra("oom_limit", "agent")),
    "work that was done all the same counts": (
        evidence(CommandFacts(exit=1), 1.0, agent_=V1_OWN),
        Verdict("scored", phase="verifier"),
    ),
    "a harness whose worker the node killed, above its request": (
        evidence(CommandFacts(exit=1), 0.0, limit=UNCAPPED, agent_={**V1_ANCESTOR, **HOG}),
        infra("oom_node", "agent"),
    ),
    "a harness whose worker the node killed, below its request": (
        evidence(CommandFacts(exit=1), 0.0, agent_={**V1_ANCESTOR, **MODEST}),
        infra("oom_node", "agent", "platform"),
    ),
    "denied forks beside full work count as the work": (
        evidence(CommandFacts(exit=1), 1.0, agent_={"pids_denied": 3}),
        Verdict("scored", phase="verifier"),
    ),
    "a full disk beside full work counts as the work": (
        evidence(CommandFacts(exit=1), 1.0, agent_={"disk_full": True}),
        Verdict("scored", phase="verifier"),
    ),
    "set-up exits 1 because its worker was killed": (
        evidence(setup=CommandFacts(exit=1), setup_=V1_OWN),
        infra("oom_limit", "setup"),
    ),
    "set-up waits for ever for a worker that was killed": (
        evidence(setup=CommandFacts(signal=9, timed_out=True, duration_s=20.0), setup_=V1_OWN),
        infra("oom_limit", "setup"),
    ),
    "set-up exits 1 because the node killed its worker": (
        evidence(setup=CommandFacts(exit=1), setup_={**V1_ANCESTOR, **MODEST}),
        infra("oom_node", "setup", "platform"),
    ),
    "set-up that the cpu quota kept from ending": (
        evidence(setup=TIMED_OUT, setup_={"throttled_us": 8_000_000}),
        infra("cpu_limit", "setup"),
    ),
    "set-up that waited for something else": (
        evidence(setup=TIMED_OUT, setup_={"throttled_us": 1_900_000}),
        infra("deadline", "setup", "platform"),
    ),
    "set-up that timed out without a quota": (
        evidence(setup=TIMED_OUT, limit=UNCAPPED, setup_={"throttled_us": 8_000_000}),
        infra("deadline", "setup", "platform"),
    ),
    "set-up that failed by itself while throttled": (
        evidence(setup=CommandFacts(exit=1, duration_s=10.0), setup_={"throttled_us": 8_000_000}),
        infra("image", "setup", "platform"),
    ),
    "tests that the cpu quota kept from ending": (
        replace(evidence(verifier_={"throttled_us": 2_000_000}), verifier=VerifierFacts(TIMED_OUT, None, "late")),
        infra("cpu_limit", "verifier"),
    ),
    "tests that timed out by themselves": (
        replace(evidence(verifier_={"throttled_us": 0}), verifier=VerifierFacts(TIMED_OUT, None, "late")),
        Verdict("verifier_error", phase="verifier"),
    ),
    "tests that timed out, nobody counted": (
        replace(evidence(), verifier=VerifierFacts(TIMED_OUT, None, "late")),
        Verdict("verifier_error", phase="verifier"),
    ),
    "tests that could not start processes": (
        evidence(reward=None, verifier_={"pids_denied": 4}),
        infra("pids_limit", "verifier"),
    ),
    "137 without an OOM kill decides nothing": (
        evidence(CommandFacts(exit=137), 0.0, agent_={"oom_kills": 0}),
        Verdict("scored", phase="verifier"),
    ),
    "killed, counters unreadable": (evidence(KILLED, None), infra("oom_unknown", "agent", "unknown")),
    "the sandbox ended with the agent's OOM": (
        replace(evidence(CommandFacts(), None, agent_=V1_OWN), died_in="agent"),
        infra("oom_limit", "agent"),
    ),
    "the sandbox ended without any": (
        replace(evidence(CommandFacts(), None, agent_={"oom_kills": 0}), died_in="agent"),
        Verdict("agent_error", phase="agent"),
    ),
    "the sandbox ended without any, in set-up": (
        replace(evidence(setup=CommandFacts(), setup_={"oom_kills": 0}), died_in="setup"),
        infra("node_lost", "setup", "platform"),
    ),
    "the sandbox ended without any, while the tests ran": (
        replace(evidence(reward=None, verifier_={"oom_kills": 0}), died_in="verifier"),
        Verdict("verifier_error", phase="verifier"),
    ),
    "the same, after a reward was read": (
        replace(evidence(verifier_={"oom_kills": 0}), died_in="verifier"),
        Verdict("verifier_error", phase="verifier"),
    ),
    "the sandbox ended beside a full disk": (
        replace(evidence(CommandFacts(), None, agent_={"oom_kills": 0, "disk_full": True}), died_in="agent"),
        infra("disk_full", "agent"),
    ),
    "the supervisor made no sense": (
        replace(evidence(), agent=None, verifier=None, broken="nonsense"),
        Verdict("agent_error", phase="agent"),
    ),
    "the supervisor made no sense after the tests": (
        replace(evidence(), broken="nonsense"),
        Verdict("agent_error", phase="verifier"),
    ),
    "the supervisor made no sense beside an OOM kill of the own limit": (
        replace(evidence(agent_=V1_OWN), agent=None, verifier=None, broken="nonsense"),
        infra("oom_limit", "agent"),
    ),
    "the platform explains a broken supervisor": (
        replace(evidence(), broken="nonsense", platform="drained"),
        infra("drained", None, "platform"),
    ),
    "platform seen directly wins": (
        replace(evidence(KILLED, None, agent_=V1_OWN), platform="node_lost"),
        infra("node_lost", None, "platform"),
    ),
    "cancelled": (replace(evidence(), cancelled=True), Verdict("cancelled")),
    "evicted for its own limit": (
        replace(evidence(), evicted=Evicted("storage", own_limit=True), died_in="agent"),
        infra("evicted_own_use", "agent"),
    ),
    "evicted by pressure above the own request": (
        replace(evidence(), evicted=Evicted("memory", own_limit=False, usage=65 * MIB)),
        infra("evicted_own_use", None),
    ),
    "evicted by pressure at the request exactly": (
        replace(evidence(), evicted=Evicted("memory", own_limit=False, usage=64 * MIB), died_in="agent"),
        infra("node_pressure", "agent", "platform"),
    ),
    "evicted by pressure one byte above it": (
        replace(evidence(), evicted=Evicted("memory", own_limit=False, usage=64 * MIB + 1), died_in="agent"),
        infra("evicted_own_use", "agent"),
    ),
    "evicted by pressure, usage not named": (
        replace(evidence(), evicted=Evicted("memory", own_limit=False), died_in="agent"),
        infra("node_pressure", "agent", "platform"),
    ),
    "evicted by pressure of what has no request": (
        replace(evidence(), evicted=Evicted("pids", own_limit=False, usage=900), died_in="agent"),
        infra("node_pressure", "agent", "platform"),
    ),
    "evicted by pressure of a disk that was not requested": (
        replace(evidence(), evicted=Evicted("storage", own_limit=False, usage=1), died_in="agent"),
        infra("node_pressure", "agent", "platform"),
    ),
    "evicted by pressure below it": (
        replace(evidence(), evicted=Evicted("memory", own_limit=False, usage=3 * MIB)),
        infra("node_pressure", None, "platform"),
    ),
    "set-up killed": (evidence(setup=KILLED, setup_=V1_OWN), infra("oom_limit", "setup")),
    "set-up failed": (evidence(setup=CommandFacts(exit=2)), infra("image", "setup", "platform")),
    "set-up timed out": (
        evidence(setup=CommandFacts(signal=9, timed_out=True)),
        infra("deadline", "setup", "platform"),
    ),
    "set-up filled the disk": (
        evidence(setup=CommandFacts(exit=2), setup_={"disk_full": True}),
        infra("disk_full", "setup"),
    ),
    "agent failed on a full disk": (
        evidence(CommandFacts(exit=1), 0.0, agent_={"disk_full": True}),
        infra("disk_full", "agent"),
    ),
    "a full disk that the agent coped with": (
        evidence(OK, 1.0, agent_={"disk_full": True}),
        Verdict("scored", phase="verifier"),
    ),
    "agent failed on refused forks": (
        evidence(CommandFacts(exit=1), 0.0, agent_={"pids_denied": 3}),
        infra("pids_limit", "agent"),
    ),
    "the model's API": (
        replace(evidence(), agent=AgentFacts(command=OK, model_api_error="529")),
        Verdict("model_api", phase="agent"),
    ),
    "the agent's own error": (
        replace(evidence(), agent=AgentFacts(error="no strategy")),
        Verdict("agent_error", phase="agent"),
    ),
    "OOM in the verifier, reward 0": (evidence(reward=0.0, verifier_=V1_OWN), infra("oom_verifier", "verifier")),
    "OOM in the verifier, no reward": (evidence(reward=None, verifier_=V1_OWN), infra("oom_verifier", "verifier")),
    "OOM in the verifier, full reward": (evidence(reward=1.0, verifier_=V1_OWN), Verdict("scored", phase="verifier")),
    "OOM in the verifier by another's doing": (
        evidence(reward=0.0, verifier_={**V1_ANCESTOR, **MODEST}),
        infra("oom_node", "verifier", "platform"),
    ),
    "disk full in the verifier": (
        evidence(reward=None, verifier_={"disk_full": True}),
        infra("disk_full", "verifier"),
    ),
    "no reward": (evidence(reward=None), Verdict("verifier_error", phase="verifier")),
}


def phases(e: Evidence) -> Evidence:
    """`agent_=...` above stands for the counters of that phase."""
    return replace(e, counters={k.rstrip("_"): replace(v, phase=k.rstrip("_")) for k, v in e.counters.items()})


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    given_, expected = CASES[name]
    assert classify(phases(given_)) == expected


commands = st.builds(
    CommandFacts,
    exit=st.sampled_from([None, 0, 1, 137]),
    signal=st.sampled_from([None, 9, 15]),
    timed_out=st.booleans(),
)
counts = st.builds(
    PhaseCounters,
    phase=st.just("agent"),
    oom_kills=st.sampled_from([None, 0, 1]),
    own_limit_ooms=st.sampled_from([None, 0, 1]),
    oom_memcg_own=st.sampled_from([None, True, False]),
    disk_full=st.sampled_from([None, True, False]),
    oom_group=st.booleans(),
    ancestor_room_bytes=st.sampled_from([None, 0, 1 << 40]),
)


@given(
    st.builds(
        Evidence,
        limit=st.sampled_from([LIMIT, UNCAPPED]),
        cgroup=st.sampled_from([None, 1, 2]),
        setup=st.none() | commands,
        agent=st.none() | st.builds(AgentFacts, command=st.none() | commands),
        verifier=st.none() | st.builds(VerifierFacts, reward=st.sampled_from([None, 0.0, 1.0])),
        counters=st.dictionaries(st.sampled_from(["setup", "agent", "verifier"]), counts),
        died_in=st.sampled_from([None, "setup", "agent", "verifier"]),
    )
)
def test_any_evidence_gives_one_known_outcome_and_uncapped_never_its_own_limit(e):
    verdict = classify(e)
    assert isinstance(verdict.outcome, Outcome)
    if verdict.outcome == "infra":
        assert verdict.cause_class in CAUSE_CLASSES[Cause(verdict.cause)]
    else:
        assert verdict.cause is None
        assert verdict.cause_class is None
    if e.limit.memory is None:
        assert verdict.cause != "oom_limit"
