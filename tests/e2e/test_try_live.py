"""`raysweep try`: one real trial with everything that is seen of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from e2e_runs import REWARD, Sweep, write_task

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


def test_a_name_that_the_sweep_does_not_have_is_refused_with_those_it_has(sweep):
    done = try_(sweep, "child-dyes")
    assert done.returncode == 2
    assert "agent-dies, child-dies" in done.stderr
