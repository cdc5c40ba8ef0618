"""Arms that react differently to dates: neither calibrate nor the registered stop takes a bad date for an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raysweep.stats import simulate
from raysweep.stats.findings.ceiling import CeilingRule, look
from raysweep.stats.findings.sample import sample
from raysweep.stats.methods.interval import Draws

RULE = CeilingRule("1x", ("3x",), 0.02, None, 0.05, {})


def cube(dates, moved, repeats=20):
    """Two arms on 40 tasks, the second moved by `moved` (D,) on each date, whatever the task."""
    arms = (simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.5))
    truth = simulate.Truth(arms=arms, tasks=40, repeats=repeats, dates=dates)
    rng = np.random.default_rng(5)
    places = simulate.draw(truth, rng)
    p = np.stack([np.full(len(places.date), 0.5), 0.5 + np.asarray(moved)[places.date]], axis=1)
    made = simulate.cube_of(truth, places)
    return replace(made, y=(rng.random(p.shape) < p).astype(float))


def ceiling(made):
    return look(made, "m", "3x", RULE, Draws(1, 200, 0.9), {("m", "3x"): (0, 1)})


def test_from_three_dates_on_the_ceiling_is_judged_over_dates():
    c = ceiling(cube(4, (0.2, -0.2, 0.2, -0.2)))
    assert c.difference.resampled_over == "dates"
    assert c.difference_sampled.resampled_over == "tasks and dates"
    assert c.difference.high - c.difference.low > 30, "dates 20 points either way"


@pytest.mark.parametrize("dates", [1, 2])
def test_with_fewer_it_is_said_what_cannot_be_known(dates):
    c = ceiling(cube(dates, (0.0,) * dates))
    assert c.difference.resampled_over == "tasks fixed"
    (said,) = (w.message for w in c.difference.warnings if w.code == "few_dates")
    assert "this holds for the dates that were run" in said


def test_a_look_has_the_spread_of_dates_in_it():
    made = cube(6, (0.3, -0.1, 0.3, -0.1, 0.3, -0.1))
    s = sample(made, made.in_bucket(None), "success", "m", ("3x", "1x"))
    blind = replace(s, over_dates=None)
    assert (s.over, blind.over) == ("tasks and dates", "tasks")
    assert s.value == blind.value
    assert s.se > 3 * blind.se
    low, high = blind.interval(2.0)
    assert low > 0, "blind to dates it would stop"
    low, high = s.interval(2.0)
    assert low < 0 < high


def test_two_dates_are_too_few_for_it():
    made = cube(2, (0.3, -0.1))
    assert sample(made, made.in_bucket(None), "success", "m", ("3x", "1x")).over == "tasks"
