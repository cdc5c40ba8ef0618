"""Band contrasts over dates, and over tasks and dates, from cubes and ledgers of a stated truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raysweep.stats import simulate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.findings.dates import date_contrasts, date_grid
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.twoway import two_way
from support import truth

HOW = Draws(seed=1, replicates=1000, level=0.95)
TWO = simulate.Truth(
    arms=(simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.6), simulate.SimArm("n", "1x", 0.5)),
    tasks=30, repeats=2, buckets=("night", "day"), dates=4, date_sd=0.02,
)  # fmt: skip


def cube_of(stated, seed=1):
    return simulate.cube_of(stated, simulate.draw(stated, np.random.default_rng(seed)))


def test_each_contrast_has_one_finding_per_way_of_resampling_over_all_buckets():
    cube = cube_of(TWO)
    found = list(date_contrasts(cube, TWO.design(), HOW))
    heads = [(f.model, f.arm, f.reference, f.resampled_over) for f in found]
    # Model n has no 3x in its arms, so nothing is contrasted for it.
    assert heads == [("m", "3x", "1x", "dates"), ("m", "3x", "1x", "tasks and dates")]
    difference = (cube.y[:, 1] - cube.y[:, 0]).reshape(30, 2, 4, 2).mean(axis=(1, 3))  # (task, date)
    for f in found:
        assert f.value == pytest.approx(100 * difference.mean())
        assert f.low < f.value < f.high
        assert (f.n_tasks, f.n_attempts, f.n_dates, f.registered) == (30, 960, 4, False)
    dates = difference.mean(axis=0)
    assert found[0].high - found[0].low == pytest.approx(2 * 3.182446 * 100 * dates.std(ddof=1) / 2, rel=1e-6)
    both = two_way(difference.mean(axis=1), [date_grid(cube, cube.y[:, 1] - cube.y[:, 0], cube.in_bucket(None))], 0.95)
    assert found[1].low == pytest.approx(100 * both.interval.low)


@pytest.mark.parametrize(("dates", "more"), [(1, "2 more are missing"), (2, "1 more is missing")])
def test_too_few_dates_give_a_value_and_name_the_missing_ones_once(dates, more):
    cube = cube_of(replace(TWO, dates=dates))
    (f,) = date_contrasts(cube, TWO.design(), HOW)
    assert f.value is not None
    assert (f.low, f.high, f.resampled_over) == (None, None, "dates")
    assert [w.code for w in f.warnings] == ["few_dates"]
    assert more in f.warnings[0].message


def test_a_contrast_without_a_complete_block_says_so():
    cube = cube_of(TWO)
    y = cube.y.copy()
    y[:, 1] = np.nan
    (f,) = date_contrasts(replace(cube, y=y), TWO.design(), HOW)
    assert f.value is None
    assert f.warnings[0].code == "no_pairs"


def test_equal_outcomes_give_no_date_interval_and_a_bound_for_tasks():
    cube = cube_of(TWO)
    dates, both = date_contrasts(replace(cube, y=np.ones_like(cube.y)), TWO.design(), HOW)
    assert (dates.value, dates.low, dates.warnings[0].code) == (0.0, None, "no_spread")
    assert both.low < 0 < both.high
    assert both.warnings[0].code == "all_tied"


def test_one_task_has_dates_but_no_other_tasks():
    dates, both = date_contrasts(cube_of(replace(TWO, tasks=1), seed=3), TWO.design(), HOW)
    assert dates.low < dates.high
    assert (both.low, both.warnings[0].code) == (None, "one_task")


def test_a_ledger_with_missing_results_and_no_rows_at_all():
    days = ("2026-02-05", "2026-02-06", "2026-02-07")
    stated = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.6}, tasks=12, repeats=6, dates=days)
    made = truth.rows(stated)
    for row in made[::7]:
        row.update(truth.infra("node_lost", "platform"))
    table, planned = with_labels(truth.table(made)), with_labels(truth.planned(made))
    dates, both = date_contrasts(build_cube(table, planned, stated.design()), stated.design(), HOW)
    assert dates.value == both.value
    assert both.low < both.value < both.high
    assert both.n_attempts < len(made)
    empty = build_cube(table.slice(0, 0), planned, stated.design())
    (f,) = date_contrasts(empty, stated.design(), HOW)
    assert (f.value, f.low) == (None, None)
