"""Looks: spending, boundaries against published tables and an independent integral, crossing, repeated intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as some

from raysweep.stats.methods.sequential import (
    boundaries,
    crossing,
    look_dates,
    nominal_level,
    obrien_fleming,
    repeated_interval,
    rising,
    schedule,
)


def equal(looks, alpha=0.05):
    fractions = [j / looks for j in range(1, looks + 1)]
    return fractions, boundaries(fractions, [obrien_fleming(x, alpha) for x in fractions])


@pytest.mark.parametrize(
    ("looks", "published"),
    [
        (1, [1.959964]),
        (2, [2.9626, 1.9686]),
        (3, [3.7103, 2.5114, 1.9930]),
        (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_published_boundaries_of_obrien_fleming_type_spending(looks, published):
    assert equal(looks)[1] == pytest.approx(published, abs=2e-4)


def test_pocock_boundaries_come_out_of_the_same_integral():
    """Jennison & Turnbull 2000, table 2.1: five looks at a constant 2.413 have two-sided error 0.05."""
    fractions = [j / 5 for j in range(1, 6)]
    assert sum(crossing(fractions, [2.413] * 5)) == pytest.approx(0.05, abs=5e-5)


def test_unequal_looks_agree_with_an_independent_integral():
    """scipy integrates the multivariate normal over the box directly."""
    information = [0.2, 0.35, 0.37, 1.0]
    bounds = boundaries(information, [obrien_fleming(x, 0.05) for x in information])
    at = np.array(information)
    correlation = np.sqrt(np.minimum.outer(at, at) / np.maximum.outer(at, at))
    for looks in (2, 3, 4):
        upper = np.array(bounds[:looks])
        inside = st.multivariate_normal.cdf(
            upper, np.zeros(looks), correlation[:looks, :looks], maxpts=1_000_000, abseps=1e-9, releps=1e-9,
            lower_limit=-upper,
        )  # fmt: skip
        assert 1 - inside == pytest.approx(obrien_fleming(information[looks - 1], 0.05), abs=1e-5)


def test_crossing_agrees_with_simulation_with_and_without_an_effect():
    information, rng = np.array([0.3, 0.5, 0.52, 1.0]), np.random.default_rng(3)
    bounds = boundaries(information, [obrien_fleming(x, 0.05) for x in information])
    gain = np.diff(information, prepend=0.0)
    noise = rng.normal(size=(200_000, 4)) * np.sqrt(gain)
    for effect in (0.0, 2.0):
        z = np.cumsum(noise + effect * gain, axis=1) / np.sqrt(information)
        out = np.abs(z) >= np.array(bounds)
        first = np.where(out.any(axis=1), out.argmax(axis=1), 4)
        seen = np.bincount(first, minlength=5)[:4] / len(z)
        expected = np.array(crossing(information, bounds, effect))
        error = np.sqrt(expected * (1 - expected) / len(z))
        assert np.all(np.abs(seen - expected) <= 4 * error + 1e-9), (effect, seen, expected)


@settings(max_examples=40, deadline=None)
@given(
    some.lists(some.floats(0.01, 1.0), min_size=1, max_size=6, unique=True),
    some.sampled_from([0.01, 0.05, 0.2]),
)
def test_whatever_the_looks_the_error_is_what_was_spent(fractions, alpha):
    information = rising(sorted(fractions))
    spent = [obrien_fleming(x, alpha) for x in information]
    bounds = boundaries(information, spent)
    assert sum(crossing(information, bounds)) == pytest.approx(spent[-1], rel=1e-6, abs=1e-11)
    assert all(b > 0 for b in bounds)


def test_spending_rises_to_alpha_and_waits():
    spent = [obrien_fleming(x, 0.05) for x in np.linspace(0, 1, 11)]
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(0.05)
    assert obrien_fleming(1.3, 0.05) == pytest.approx(0.05)
    assert spent[5] < 0.005, "half way next to nothing is spent"
    for bad in ((-0.1, 0.05), (0.5, 0.0), (0.5, 1.0)):
        with pytest.raises(ValueError, match="alpha"):
            obrien_fleming(*bad)


def test_a_look_too_early_to_spend_on_never_stops_and_costs_nothing():
    early, late = boundaries([0.01, 1.0], [obrien_fleming(0.01, 0.05), 0.05])
    assert math.isinf(early)
    assert late == pytest.approx(1.959964, abs=1e-6)
    assert repeated_interval(1.0, 1.0, 10, early) is None


def test_information_that_falls_by_luck_is_made_to_rise_and_what_does_not_rise_is_refused():
    assert rising([4.0, 3.0, 9.0]) == pytest.approx([4.0, 4.04, 9.0])
    for bad in ([1.0, 1.0], [0.0], [math.inf]):
        with pytest.raises(ValueError, match="must rise"):
            boundaries(bad, [0.01 * (j + 1) for j in range(len(bad))])


def test_more_correlated_looks_need_lower_boundaries():
    """Why counting too small a step as GROWTH errs to the safe side."""
    spent = [obrien_fleming(0.5, 0.05), 0.05]
    bounds = [boundaries([1.0, step], spent)[1] for step in (1.01, 1.2, 2.0, 10.0)]
    assert bounds == sorted(bounds)


def test_look_dates_are_spread_evenly_and_end_at_the_end():
    assert look_dates(7, 3) == (3, 5, 7)
    assert look_dates(14, 4) == (4, 7, 11, 14)
    assert look_dates(3, 3) == (1, 2, 3)
    assert look_dates(3, 0) == ()
    with pytest.raises(ValueError, match="between 0"):
        look_dates(2, 3)
    assert [n for n, _ in schedule(10, 5, 0.05)] == [2, 4, 6, 8, 10]
    assert [b for _, b in schedule(10, 5, 0.05)] == pytest.approx(equal(5)[1])


def test_repeated_interval_is_the_t_interval_of_the_boundarys_tail():
    low, high = repeated_interval(2.0, 0.5, 19, 2.5)
    expected = st.t.interval(nominal_level(2.5), 19, loc=2.0, scale=0.5)
    assert (low, high) == pytest.approx(expected)


def test_repeated_intervals_of_small_studies_hold_the_truth_together():
    """Tasks sampled with estimated standard errors, 20 tasks, one block a date, looks after each of four dates."""
    rng, tasks, studies, missed = np.random.default_rng(20), 20, 200, 0
    for _ in range(studies):
        p = rng.beta(1, 1, tasks)
        by_date = (rng.random((4, tasks)) < p).astype(float) - (rng.random((4, tasks)) < p)
        means = np.cumsum(by_date, axis=0) / np.arange(1, 5)[:, None]
        value, se = means.mean(axis=1), means.std(axis=1, ddof=1) / math.sqrt(tasks)
        bounds = boundaries(rising(1 / se**2), [obrien_fleming(j / 4, 0.05) for j in range(1, 5)])
        held = [repeated_interval(v, s, tasks - 1, b) for v, s, b in zip(value, se, bounds, strict=True)]
        missed += any(i is not None and not i[0] <= 0 <= i[1] for i in held)
    assert missed / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
