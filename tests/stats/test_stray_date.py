"""A make-up date of a few blocks neither widens nor narrows what is said of dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raysweep.stats import simulate
from raysweep.stats.findings.dates import date_contrasts, date_grid, stray_dates
from raysweep.stats.methods.interval import Draws

HOW = Draws(seed=1, replicates=200, level=0.95)


def study(moved, seed=3):
    """20 tasks x 4 dates x 8 blocks; `moved` blocks of the last date ran on a fifth one."""
    arms = (simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.5))
    truth = simulate.Truth(arms=arms, tasks=20, repeats=8, dates=5)
    cube = simulate.cube_of(truth, simulate.draw(truth, np.random.default_rng(seed)))
    date = np.where(cube.date == 4, 3, cube.date)
    date[np.flatnonzero(date == 3)[:moved]] = 4
    return truth, replace(cube, date=date)


def intervals(truth, cube):
    return {f.resampled_over: f for f in date_contrasts(cube, truth.design(), HOW)}


def test_a_stray_date_changes_no_value_and_hardly_an_interval():
    (_, without), (truth, with_) = study(0), study(8)
    before, after = intervals(truth, without), intervals(truth, with_)
    for over in ("dates", "tasks and dates"):
        assert after[over].value == before[over].value
        ratio = (after[over].high - after[over].low) / (before[over].high - before[over].low)
        assert 0.8 < ratio < 1.25
        (said,) = (w.message for w in after[over].warnings if w.code == "stray_dates")
        assert said == f"{with_.dates[4]} had few blocks and is left out of the spread of dates"
        assert not [w for w in before[over].warnings if w.code == "stray_dates"]


def test_what_is_left_out_are_whole_dates_with_few_blocks():
    _, cube = study(8)
    everything, values = np.ones(len(cube.date), dtype=bool), cube.y[:, 0]
    assert stray_dates(cube, values, everything).tolist() == [False, False, False, False, True]
    assert date_grid(cube, values, everything).dates == 4
    assert date_grid(cube, values, everything).counts.sum() == len(cube.date) - 8


def test_dates_of_like_size_all_count():
    _, cube = study(80)
    assert not stray_dates(cube, cube.y[:, 0], np.ones(len(cube.date), dtype=bool)).any()
