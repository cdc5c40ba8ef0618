"""What ends without a score do to success, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from raysweep.stats import analyse
from raysweep.stats.broken import LEAST_TRIALS, broken_tasks
from raysweep.stats.cube import with_labels
from support import truth

ARMS = {("m", "1x"): 0.5, ("m", "3x"): 0.5}
PLAIN = truth.Truth(success=ARMS, tasks=20, repeats=5)
FAILED = {"outcome": "verifier_error", "reward": None}
LOST = truth.infra("runner_lost", "platform")


def run(made, stated=PLAIN):
    return analyse(truth.table(made), truth.planned(made), design=stated.design())


def check(analysis, code):
    return next((c for c in analysis.checks if c.code == code), None)


def success(analysis, **wanted):
    wanted = {"estimand": "success", "arm": "3x", "reference": None, "bucket": None, "facet": None} | wanted
    found = [f for f in (*analysis.findings, *analysis.details) if all(getattr(f, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def voiding(rows, ends):
    """Each loss of arm 3x ends as `ends` says."""
    return [r | ends if r["band"] == "3x" and r["reward"] == 0.0 else r for r in rows]


def test_an_agent_that_breaks_the_tests_when_it_loses_scores_as_it_does_without():
    honest, broken = run(truth.rows(PLAIN)), run(voiding(truth.rows(PLAIN), FAILED))
    assert success(broken).value == success(honest).value < 0.7
    contrast = {"reference": "1x", "resampled_over": "tasks"}
    assert success(broken, **contrast).value == success(honest, **contrast).value
    without = success(broken, estimand="success_verified", **contrast)
    assert without.value > 30, "the variant without them is beside it, and would have paid"


def test_the_bounds_count_failed_verifiers_0_and_1():
    analysis = run(voiding(truth.rows(PLAIN), FAILED))
    (f,) = [f for f in analysis.details if f.estimand == "success_verified"]
    assert (f.arm, f.value, f.high) == ("3x", 1.0, 1.0)
    assert f.low == pytest.approx(success(analysis).value)
    assert not [f for f in run(truth.rows(PLAIN)).details if f.estimand == "success_verified"]


def test_a_verifier_that_fails_everywhere_is_named_and_left_out():
    made = [r | FAILED if r["task"] == "task-03" else r for r in truth.rows(PLAIN)]
    analysis = run(made)
    assert check(analysis, "broken_tasks").message.startswith("the verifier of 1 task failed in nearly every trial of")
    assert "task-03" in check(analysis, "broken_tasks").message
    assert "task-03" not in analysis.tasks
    rest = [r for r in made if r["task"] != "task-03"]
    assert success(analysis).value == success(run(rest)).value
    assert check(analysis, "verifier_error") is None
    assert (analysis.n_attempts, analysis.n_trials) == (len(made), len(rest))


def test_a_verifier_that_fails_in_one_arm_only_is_not_broken():
    made = [r | FAILED if r["task"] == "task-03" and r["band"] == "3x" else r for r in truth.rows(PLAIN)]
    assert check(run(made), "broken_tasks") is None
    assert "task-03" in run(made).tasks


@pytest.mark.parametrize(("trials", "broken"), [(LEAST_TRIALS - 2, ()), (LEAST_TRIALS, ("task-00",))])
def test_few_trials_leave_no_task_out(trials, broken):
    stated = truth.Truth(success=ARMS, tasks=1, repeats=trials // 2)
    table = with_labels(truth.table([r | FAILED for r in truth.rows(stated)]))
    assert broken_tasks(table) == broken


def test_nearly_every_trial_is_nine_of_ten():
    stated = truth.Truth(success=ARMS, tasks=1, repeats=10)
    rows = truth.rows(stated)
    ones = [r["trial_id"] for r in rows if r["band"] == "1x"]
    for sound, broken in ((1, ("task-00",)), (2, ())):
        made = [r if r["trial_id"] in ones[:sound] else r | FAILED for r in rows]
        assert broken_tasks(with_labels(truth.table(made))) == broken


def hard_and_easy(seed=5):
    """Half of the tasks nearly always succeed, half nearly never."""
    rng = np.random.default_rng(seed)
    rows = truth.rows(PLAIN)
    return [r | {"reward": float(rng.random() < (0.9 if r["task"] < "task-10" else 0.1))} for r in rows]


@pytest.mark.parametrize("ends", [FAILED, LOST, truth.infra("oom_unknown", "unknown")])
def test_ends_that_come_where_the_other_trials_fail_are_told(ends):
    found = check(run(voiding(hard_and_easy(), ends)), "ends_with_outcome")
    assert found.status == "warning"
    assert found.message.startswith("m/3x: ")
    assert "they go with the outcome that was likely" in found.message


@pytest.mark.parametrize("ends", [FAILED, LOST])
def test_ends_that_come_anywhere_are_not(ends):
    rng = np.random.default_rng(3)
    made = [r | ends if rng.random() < 0.1 else r for r in hard_and_easy()]
    assert check(run(made), "ends_with_outcome") is None


def test_the_check_of_where_ends_come_holds_its_level():
    told = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        made = [r | FAILED if rng.random() < 0.05 else r for r in hard_and_easy(seed)]
        told += check(run(made), "ends_with_outcome") is not None
    assert told <= 4, "80 tests at 0.01: 0.8 are expected, more than 4 come once in a thousand"


def test_repeated_causes_that_a_task_can_bring_about_are_counted_by_arm():
    made = truth.rows(PLAIN)
    again = [r | LOST | {"is_final": False} for r in made if r["band"] == "3x" and r["repeat"] == 1]
    made = [r | {"attempt": 2} if r["band"] == "3x" and r["repeat"] == 1 else r for r in made]
    found = check(run([*made, *again]), "provokable")
    assert found.message.startswith(
        "20 attempts ended after their agent had begun in causes that a task can bring about"
    )
    assert "(runner_lost 20)" in found.message
    assert found.message.endswith("m/3x 20")


def test_what_ended_before_the_agent_began_is_not_the_tasks_doing():
    early = truth.infra("node_lost", "platform") | {"t_agent_start": None}
    made = [r | early if r["repeat"] == 1 else r for r in truth.rows(PLAIN)]
    assert check(run(made), "provokable") is None
