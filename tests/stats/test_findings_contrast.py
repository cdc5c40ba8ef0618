"""Contrasts and rates as findings: what must not change, what must flip, what must be said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from raysweep.stats.cube import with_labels
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.pair import mean_contrast, pair
from raysweep.stats.findings.rates import arm_rates, infra_contrasts, infra_rates, rate_ask
from raysweep.stats.methods.interval import Draws, settle
from raysweep.stats.simulate import SimArm, Truth, cube_of, draw, tables_of

ARMS = (SimArm("m", "1x", 0.45, 0.2, 1.0), SimArm("m", "3x", 0.5, 0.1, 3.0), SimArm("m", "uncapped", 0.55, 0.05, None))
HOW = Draws(seed=1, replicates=500, level=0.95)


def study(seed, tasks=25, repeats=2, buckets=("a", "b"), arms=ARMS):
    truth = Truth(arms=arms, tasks=tasks, repeats=repeats, buckets=buckets)
    return truth, cube_of(truth, draw(truth, np.random.default_rng(seed)))


def contrasts(truth, cube, **design):
    return list(band_contrasts(cube, truth.design(**design), HOW))


def pick(findings, **wanted):
    return [f for f in findings if all(getattr(f, k) == v for k, v in wanted.items())]


def one(findings, **wanted):
    found = pick(findings, **wanted)
    assert len(found) == 1, found
    return found[0]


def numbers(f):
    return f.value, f.low, f.high, f.method, f.n_tasks, f.n_attempts, f.warnings


@given(some.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_swapping_arms_flips_every_sign_to_the_bit(seed):
    truth, cube = study(seed, tasks=8 + seed % 40)
    there = pick(contrasts(truth, cube), arm="3x")
    back = pick(contrasts(truth, cube, reference="3x"), arm="1x")
    assert len(there) == len(back) == 18  # 3 estimands x (all, 2 buckets) x (sampled, fixed)
    for f, g in zip(there, back, strict=True):
        assert (f.estimand, f.bucket, f.resampled_over) == (g.estimand, g.bucket, g.resampled_over)
        negated = [None if v is None else -v for v in (g.value, g.high, g.low)]
        assert [f.value, f.low, f.high] == negated
        assert f.method == g.method


@given(some.integers(0, 10_000), some.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_relabelling_tasks_leaves_point_estimates_to_the_bit(seed, random):
    truth, cube = study(seed)
    order = list(range(len(cube.tasks)))
    random.shuffle(order)
    other = replace(cube, task=np.array(order)[cube.task])
    for one_way, other_way in (
        (contrasts(truth, c) for c in (cube, other)),
        (list(arm_rates(c, HOW)) for c in (cube, other)),
    ):
        assert [f.value for f in one_way] == [f.value for f in other_way]
        assert [f.n_tasks for f in one_way] == [f.n_tasks for f in other_way]


@given(some.integers(0, 10_000), some.sampled_from([-2.0, 0.25, 0.5, 8.0]))
@settings(max_examples=10, deadline=None)
def test_a_constant_added_to_every_arm_leaves_contrasts(seed, constant):
    truth, cube = study(seed)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 9, cube.y.shape) / 8  # eighths: sums with the constant stay exact
    before, after = (pick(contrasts(truth, replace(cube, y=v)), estimand="success") for v in (y, y + constant))
    for f, g in zip(before, after, strict=True):
        assert (f.value, f.low, f.high) == pytest.approx((g.value, g.low, g.high), abs=1e-12)
        assert f.method == g.method


@given(some.integers(0, 10_000), some.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_a_missing_cell_never_touches_another_contrast_and_is_said_in_its_own(seed, gaps):
    truth, cube = study(seed)
    rng = np.random.default_rng(seed)
    y, present = cube.y.copy(), cube.present.copy()
    rows = rng.choice(len(y), gaps, replace=False)
    y[rows, 2] = np.nan
    present[rows[: gaps // 2], 2] = False  # half of them were never tried
    holed = replace(cube, y=y, q=np.where(np.isfinite(y), cube.q, np.nan), present=present)
    before, after = contrasts(truth, cube), contrasts(truth, holed)
    assert [numbers(f) for f in pick(before, arm="3x")] == [numbers(f) for f in pick(after, arm="3x")]
    whole = one(after, arm="uncapped", estimand="success", bucket=None, resampled_over="tasks")
    assert whole.n_attempts == 2 * (len(y) - gaps)
    said = [w.message for w in whole.warnings if w.code == "incomplete_blocks"]
    assert len(said) == 1
    assert said[0].startswith(f"{gaps} of {len(y)} blocks")
    rates = [list(arm_rates(c, HOW)) for c in (cube, holed)]
    for band in ("1x", "3x"):
        assert [numbers(f) for f in pick(rates[0], arm=band)] == [numbers(f) for f in pick(rates[1], arm=band)]


def test_a_block_missing_in_the_reference_leaves_the_arms_rows_out_too():
    truth, cube = study(3)
    y = cube.y.copy()
    y[cube.task == 0, 0] = np.nan
    f = one(contrasts(truth, replace(cube, y=y)), arm="3x", estimand="success", bucket=None, resampled_over="tasks")
    p = pair(cube, y, 1, 0, cube.in_bucket(None))
    assert f.n_tasks == 24
    assert f.n_attempts == 2 * int(p.complete.sum())
    assert any(w.code == "tasks_without_block" and "task-000" in w.message for w in f.warnings)
    by_hand = [np.mean((y[:, 1] - y[:, 0])[cube.task == t]) for t in range(1, 25)]
    assert f.value == pytest.approx(100 * np.mean(by_hand))


def test_one_by_one_or_all_at_once():
    truth, cube = study(5, tasks=30)
    for f in pick(contrasts(truth, cube), estimand="success", resampled_over="tasks"):
        p = pair(cube, cube.y, cube.column("m", f.arm), 0, cube.in_bucket(f.bucket))
        value, interval = mean_contrast(p, HOW)
        assert (f.value, f.low, f.high) == (100 * value, 100 * interval.low, 100 * interval.high)
        assert f.method == interval.method
    for f in pick(list(arm_rates(cube, HOW)), estimand="success"):
        ask = rate_ask(cube, cube.y[:, cube.column("m", f.arm)], cube.in_bucket(f.bucket), HOW.level)
        value, interval = settle([ask], HOW)[0]
        assert (f.value, f.low, f.high) == (value, interval.low, interval.high)


def test_every_estimand_has_both_intervals():
    truth, cube = study(6)
    found = contrasts(truth, cube)
    for over, method in (("tasks", "expanded percentile bootstrap (500 draws)"), ("tasks fixed", "closed form")):
        for name in ("success", "success_given_clean"):
            f = one(found, arm="uncapped", estimand=name, bucket=None, resampled_over=over)
            assert f.method.startswith(method)
            assert f.low < f.value < f.high
    sampled, fixed = (
        one(found, arm="uncapped", estimand="success", bucket=None, resampled_over=over)
        for over in ("tasks", "tasks fixed")
    )
    assert sampled.value == fixed.value


def test_success_given_clean_with_tasks_fixed_is_centred_on_the_contrast():
    truth, cube = study(7, tasks=40, repeats=5)
    for f in pick(contrasts(truth, cube), estimand="success_given_clean", resampled_over="tasks fixed"):
        assert (f.low + f.high) / 2 == pytest.approx(f.value, abs=1e-9)


def test_few_tasks_get_t_and_rare_events_a_score_interval():
    truth, cube = study(8, tasks=8)
    f = one(contrasts(truth, cube), arm="3x", estimand="success", bucket=None, resampled_over="tasks")
    assert f.method == "t over tasks (7 df)"
    rare = tuple(replace(a, infra=0.03) for a in ARMS)
    truth, cube = study(8, tasks=40, arms=rare)
    found = contrasts(truth, cube)
    f = one(found, arm="3x", estimand="q_trial", bucket=None, resampled_over="tasks")
    assert f.method.startswith("Newcombe hybrid score, paired, design effect")
    assert f.low < f.value < f.high
    nothing = replace(cube, q=np.zeros_like(cube.q))
    tied = one(contrasts(truth, nothing), arm="3x", estimand="q_trial", bucket=None, resampled_over="tasks")
    assert tied.method == "exact bound on discordant tasks"
    assert (tied.value, tied.high) == (0.0, pytest.approx(100 * (1 - 0.05 ** (1 / 40))))
    assert tied.warnings[0].code == "all_tied"


def test_one_block_per_bucket_says_that_buckets_are_pooled():
    truth, cube = study(9, repeats=1)
    fixed = pick(contrasts(truth, cube), estimand="success", arm="3x", resampled_over="tasks fixed")
    assert [f.bucket for f in fixed] == [None, "a", "b"]
    assert all([w.code for w in f.warnings] == ["buckets_pooled"] for f in fixed)
    assert all(f.low < f.value < f.high for f in fixed)


def test_what_is_registered():
    truth, cube = study(10)
    marked = [f for f in contrasts(truth, cube, contrasts=("3x",)) if f.registered]
    assert [(f.estimand, f.arm, f.bucket, f.resampled_over) for f in marked] == [("success", "3x", None, "tasks")]
    assert not any(f.registered for f in contrasts(truth, cube, registered=False))


def ledger(seed, infra, **more):
    arms = tuple(replace(a, infra=q) for a, q in zip(ARMS, infra, strict=True))
    truth = Truth(arms=arms, tasks=30, repeats=3, **more)
    rng = np.random.default_rng(seed)
    outcomes = draw(truth, rng)
    return truth, cube_of(truth, outcomes), with_labels(tables_of(truth, outcomes, rng)[0])


def test_infra_rates_over_all_attempts():
    _, cube, table = ledger(1, (0.3, 0.2, 0.01))
    again = table.slice(0, 3).set_column(table.schema.get_field_index("is_final"), "is_final", pa.array([False] * 3))
    table = pa.concat_tables([table, again])
    found = list(infra_rates(table, cube, HOW))
    assert len(found) == 6
    f = one(found, arm="1x", estimand="infra_rate_resource")
    died = [r["cause_class"] == "resource" for r in table.to_pylist() if r["band"] == "1x"]
    assert f.n_attempts == len(died) == 91  # one of the three attempts run again is of this arm
    assert f.value == pytest.approx(np.mean(died))
    assert f.method.startswith("expanded percentile")
    assert one(found, arm="uncapped", estimand="infra_rate_resource").method.startswith("Wilson")
    assert one(found, arm="1x", estimand="infra_rate_platform").value == 0.0


def test_infra_contrasts():
    truth, cube, table = ledger(2, (0.3, 0.2, 0.01))
    rates = {f.arm: f for f in infra_rates(table, cube, HOW) if f.estimand == "infra_rate_resource"}
    design = truth.design(primary="infra_rate")
    found = list(infra_contrasts(table, cube, design, HOW))
    assert [f.arm for f in found] == ["3x", "uncapped"]
    for f in found:
        assert f.value == pytest.approx(100 * (rates[f.arm].value - rates["1x"].value))
        assert f.low < f.value < f.high
        assert f.registered
        assert (f.unit, f.n_attempts, f.n_tasks) == ("points", 180, 30)
    assert found[0].method.startswith("expanded percentile")
    assert found[1].method.startswith("Newcombe hybrid score, unpaired")
    back = list(infra_contrasts(table, cube, truth.design(reference="3x"), HOW))
    assert (back[0].arm, back[0].value, back[0].low) == ("1x", -found[0].value, -found[0].high)
    assert not back[0].registered


def test_infra_contrasts_of_too_little():
    truth, cube, table = ledger(3, (0.3, 0.2, 0.01))
    bands = np.array(table["band"].to_pylist())
    tasks = np.array(table["task"].to_pylist())
    without = table.filter(pa.array(bands != "3x"))
    found = list(infra_contrasts(without, cube, truth.design(), HOW))
    assert found[0].value is None
    assert found[0].warnings[0].code == "no_pairs"
    single = table.filter(pa.array(tasks == "task-000"))
    found = list(infra_contrasts(single, cube, truth.design(), HOW))
    assert found[0].value is not None
    assert (found[0].low, found[0].warnings[0].code) == (None, "one_task")


@given(some.integers(0, 10_000), some.integers(1, 24), some.integers(1, 3), some.sampled_from([0.0, 0.3, 0.9, 1.0]))
@settings(max_examples=40, deadline=None)
def test_any_cube_gives_finite_numbers_or_a_reason(seed, tasks, repeats, gone):
    """Tasks, arms and trials missing at random; tied and dead arms."""
    arms = (SimArm("m", "1x", 0.5, 0.5, 1.0), SimArm("m", "3x", 0.98, 0.02, 3.0))
    truth, cube = study(seed, tasks=tasks, repeats=repeats, arms=arms)
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(cube.y.shape) < gone, np.nan, cube.y)
    q = np.where(np.isfinite(y), np.where(rng.random() < 0.2, 1.0, cube.q), np.nan)
    holed = replace(cube, y=y, q=q)
    for f in (*contrasts(truth, holed), *arm_rates(holed, HOW)):
        assert all(v is None or math.isfinite(v) for v in (f.value, f.low, f.high))
        if f.low is None:
            assert f.warnings, f
            assert f.high is None
        elif f.value is not None:
            assert f.low <= f.value + 1e-9
            assert f.value <= f.high + 1e-9
