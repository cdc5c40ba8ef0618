"""`raysweep try`: one real trial with everything that is seen of it."""

from __future__ import annotations

import json

import pytest

from raysweep.cli.try_one import try_command
from raysweep.errors import InputError
from support.e2e_runs import REWARD, Sweep, write_task

pytestmark = pytest.mark.e2e
HOG = "/usr/bin/python3 -c 'x = bytearray(200 << 20)'"


@pytest.fixture
def sweep(tmp_path, needs_local):
    write_task(tmp_path, "child-dies", f"{HOG}; echo survived | tee /app/answer", f"[ -s /app/answer ] && {REWARD}")
    write_task(tmp_path, "agent-dies", f"exec {HOG}")
    made = Sweep(tmp_path, needs_local)
    yield made
    made.expect_nothing_left()


def try_(sweep, task, *more):
    return sweep.command("try", sweep.config, "--task", task, "--band", "1x", "--model", "m", *more)


def test_it_shows_transcript_evidence_and_verdict(sweep):
    done = try_(sweep, "child-dies")
    assert done.returncode == 0, done.stderr
    for step in ("start", "phase=agent", "command=agent", "stdout: survived", "phase=verifier", "stop"):
        assert step in done.stderr, f"the transcript lacks {step!r}:\n{done.stderr}"
    said = done.stdout.splitlines()
    assert said[0] == "evidence:"
    assert said[-1] == "verdict: scored / verifier, reward 1.0"
    evidence = json.loads("\n".join(said[1:-1]))
    assert evidence["counters"]["agent"]["oom_kills"] == 1
    assert not sweep.run.exists(), "there is no ledger"


def test_as_json_it_is_one_document_and_an_unscored_trial_ends_with_1(sweep):
    done = try_(sweep, "agent-dies", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"]["outcome"], told["verdict"]["cause"]) == ("infra", "oom_limit")
    assert told["row"]["oom_kills"] >= 1
    assert told["evidence"]["agent"]["command"]["signal"] == 9


FACTORS = """
factors:
  agent_timeout: {reference: 1x, levels: {1x: 1.0, short: 0.05}}
  concurrency: {reference: one, levels: {one: 1, two: 2}}
"""


@pytest.fixture
def swept(tmp_path, needs_local):
    """A sweep over two factors of a task that takes longer than its short time limit."""
    write_task(tmp_path, "slow", "sleep 20")
    made = Sweep(tmp_path, needs_local)
    made.config.write_text(made.config.read_text() + FACTORS)
    yield made
    made.expect_nothing_left()


def test_a_level_of_a_factor_is_tried_by_its_name(swept):
    done = try_(swept, "slow", "--factor", "agent_timeout=short", "--factor", "concurrency=one", "--json")
    told = json.loads(done.stdout)
    assert told["row"]["factors"] == {"agent_timeout": "short"}
    assert told["row"]["timed_out"]
    assert "one trial alone" in done.stderr


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        (["agent_timeuot=short"], "did you mean `agent_timeout`"),
        (["agent_timeout=long"], "with one of 1x, short"),
        (["agent_timeout"], "with one of 1x, short"),
        (["agent_timeout=short", "agent_timeout=1x"], "one level of each factor"),
        (["agent_timeout=short", "concurrency=two"], "no arm with agent_timeout=short and concurrency=two at band 1x"),
    ],
)
def test_levels_that_the_sweep_does_not_have_are_refused(swept, levels, says):
    with pytest.raises(InputError) as refused:
        try_command(swept.config, "slow", "1x", "m", levels, as_json=True)
    assert says in str(refused.value)


def test_a_name_that_the_sweep_does_not_have_is_refused_with_those_it_has(sweep):
    done = try_(sweep, "child-dyes")
    assert done.returncode == 2
    assert "agent-dies, child-dies" in done.stderr
