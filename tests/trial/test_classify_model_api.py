"""What counts as the model API's doing, and what does not."""

from __future__ import annotations

import pytest

from raysweep.record.evidence import AgentFacts, ApiFacts, CommandFacts, Evidence, PhaseCounters, Verdict, VerifierFacts
from raysweep.trial.classify import classify, needs_verifier
from raysweep.units import MIB, Resources

API = "model_api"
SCORED = Verdict("scored", phase="verifier")


def model_api(cause):
    return Verdict(API, cause, "agent", "platform")


def evidence(api, *, reward=0.0, limit_s=100.0, share=0.5, counters=None, **agent):
    return Evidence(
        limit=Resources(1000, 64 * MIB, None),
        cgroup=1,
        agent=AgentFacts(api=api, **agent),
        verifier=None if reward is None else VerifierFacts(CommandFacts(exit=0), reward),
        counters={"agent": PhaseCounters("agent", **(counters or {}))},
        agent_timeout_s=limit_s,
        api_blocked_share=share,
    )


BLOCKED = ApiFacts(calls=9, blocked_s=60.0, main_failure="rate_limited", last_failure="rate_limited", refusal="429")
FAILED = ApiFacts(calls=3, blocked_s=2.0, main_failure="down", last_failure="down")
PASSED_OVER = ApiFacts(calls=3, blocked_s=20.0, main_failure="down", last_failure=None)
OWN_LIMIT = {"oom_kills": 1, "oom_memcg_own": True}
TIMED_OUT = CommandFacts(signal=9, timed_out=True)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (evidence(BLOCKED, timed_out=True), model_api("api_rate_limited")),
        (evidence(BLOCKED, command=TIMED_OUT), model_api("api_rate_limited")),
        (evidence(BLOCKED, timed_out=True, reward=1.0), SCORED),
        (evidence(BLOCKED, timed_out=True, share=0.61), SCORED),
        (evidence(BLOCKED, timed_out=True, limit_s=1000.0), SCORED),
        (evidence(PASSED_OVER, timed_out=True), SCORED),
        (evidence(ApiFacts(calls=2, blocked_s=99.0), timed_out=True), model_api("api_rate_limited")),
        (evidence(FAILED, error="gave up"), model_api("api_down")),
        (evidence(FAILED, command=CommandFacts(exit=1)), model_api("api_down")),
        (evidence(FAILED), model_api("api_down")),
        (evidence(FAILED, reward=1.0, error="gave up"), SCORED),
        (evidence(FAILED, reward=None, error="gave up"), model_api("api_down")),
        (evidence(PASSED_OVER, error="its own bug"), Verdict("agent_error", phase="agent")),
        (evidence(PASSED_OVER), SCORED),
        (evidence(ApiFacts(errors={"bad_request": 1}), error="no model"), Verdict("agent_error", phase="agent")),
        (evidence(ApiFacts(main_failure="refused", last_failure="refused"), error="401"), model_api("api_refused")),
        (evidence(None, model_api_error="said by the agent"), Verdict(API, phase="agent")),
    ],
)  # fmt: skip
def test_the_verdict(seen, verdict):
    assert classify(seen) == verdict


def test_a_kill_at_the_own_limit_comes_first():
    killed = evidence(BLOCKED, command=CommandFacts(signal=9), counters=OWN_LIMIT, reward=None)
    assert classify(killed) == Verdict("infra", "oom_limit", "agent", "resource")
    beside = evidence(FAILED, command=CommandFacts(exit=1), counters=OWN_LIMIT, reward=0.0)
    assert classify(beside) == Verdict("infra", "oom_limit", "agent", "resource")


def test_the_verifier_runs_all_the_same():
    assert needs_verifier(evidence(BLOCKED, timed_out=True, reward=None))
    assert needs_verifier(evidence(FAILED, error="gave up", reward=None))
