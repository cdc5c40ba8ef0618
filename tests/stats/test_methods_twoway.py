"""Intervals over dates and over tasks and dates: closed forms by hand, least squares as oracle, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from raysweep.stats.methods.twoway import (
    Grid,
    date_spread,
    dates_sampled,
    few_dates,
    missing_dates,
    no_spread,
    two_way,
)

HAND = np.array([[1.0, 2.0, 6.0], [3.0, 1.0, 5.0]]) / 10
"""Two tasks on three dates: task means 0.3, 0.3; date means 0.2, 0.15, 0.55; grand mean 0.3."""


def full(values, k=1):
    return Grid(values, np.full(values.shape, k))


def study(rng, tasks, dates, *, k=1, sd=0.02, task_sd=0.0):
    """A contrast of 0 with Bernoulli-like noise: task effects, date effects, cells."""
    own = rng.normal(0, task_sd, (tasks, 1)) if task_sd else 0.0
    return own + rng.normal(0, sd, dates) + rng.normal(0, 0.6 / math.sqrt(k), (tasks, dates))


def test_parts_by_hand():
    parts = date_spread(full(HAND))
    spread = ((0.2 - 0.3) ** 2 + (0.15 - 0.3) ** 2 + (0.55 - 0.3) ** 2) / 2
    rest = HAND - 0.3 - (np.array([0.2, 0.15, 0.55]) - 0.3)
    square = (rest**2).sum() / 2
    assert parts.spread == pytest.approx(spread)
    assert parts.date == pytest.approx(spread / 3)
    assert (parts.noise, parts.noise_df) == (pytest.approx(square / 6), 2)
    assert parts.excess == pytest.approx(spread / 3 - square / 6)
    assert parts.date_variance == pytest.approx(spread - square / 2)


def test_dates_sampled_is_the_t_interval_of_the_date_means():
    interval = dates_sampled(0.3, full(HAND), 0.95)
    means = HAND.mean(axis=0)
    low, high = t.interval(0.95, 2, loc=0.3, scale=means.std(ddof=1) / math.sqrt(3))
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))
    assert "2 df" in interval.method


def test_two_way_by_hand():
    values = HAND + np.array([[0.05], [-0.05]])
    parts, v_task = date_spread(full(values)), np.var(values.mean(axis=1), ddof=1) / 2
    found = two_way(values.mean(axis=1), [full(values)], 0.9)
    variance = v_task + parts.date - parts.noise
    df = variance**2 / (v_task**2 / 1 + parts.date**2 / 2 + parts.noise**2 / 2)
    assert found.v_task == pytest.approx(v_task)
    assert found.excess == pytest.approx(parts.excess)
    assert found.df == pytest.approx(max(df, 1.0))
    # Two tasks cannot exclude 0 by exchanging their signs, so that the interval reaches it whatever t says.
    high = 0.3 + t.ppf(0.95, found.df) * math.sqrt(variance)
    assert found.interval.high == pytest.approx(high)
    assert found.interval.low <= 0


def test_without_excess_it_is_the_paired_t_over_tasks():
    values = study(np.random.default_rng(5), 40, 6, sd=0.0, task_sd=0.3)
    values -= values.mean(axis=0)  # dates exactly alike: V_date = 0
    values += 0.1
    found = two_way(values.mean(axis=1), [full(values)], 0.95)
    means = values.mean(axis=1)
    low, high = t.interval(0.95, 39, loc=means.mean(), scale=means.std(ddof=1) / math.sqrt(40))
    assert found.excess < 0
    assert (found.interval.low, found.interval.high) == (pytest.approx(low), pytest.approx(high))


def test_two_runs_add_their_excess():
    rng = np.random.default_rng(6)
    one, two = study(rng, 30, 4, sd=0.3), study(rng, 30, 7, sd=0.3)
    found = two_way(one.mean(axis=1) - two.mean(axis=1), [full(one), full(-two)], 0.95)
    parts = [date_spread(full(v)) for v in (one, two)]
    assert found.excess == pytest.approx(sum(p.excess for p in parts))
    assert found.interval.high - found.interval.low == pytest.approx(
        2 * t.ppf(0.975, found.df) * math.sqrt(found.v_task + found.excess)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 12), st.integers(2, 6), st.integers(0, 10**6), st.floats(0.0, 0.5))
def test_missing_cells_agree_with_least_squares(tasks, dates, seed, share):
    rng = np.random.default_rng(seed)
    counts = (rng.random((tasks, dates)) >= share).astype(np.int64) * rng.integers(1, 4, (tasks, dates))
    values = study(rng, tasks, dates, sd=0.5)
    parts = date_spread(Grid(values, counts))
    used, seen = counts.sum(axis=1) > 0, counts.sum(axis=0) > 0
    t_i, d_i = np.nonzero(counts)
    design = np.zeros((len(t_i), tasks + dates))
    design[np.arange(len(t_i)), t_i] = design[np.arange(len(t_i)), tasks + d_i] = 1.0
    y = values[t_i, d_i]
    rank = int(np.linalg.matrix_rank(design)) if len(t_i) else 0
    if int(seen.sum()) < 2 or rank < int(used.sum()) + int(seen.sum()) - 1:
        assert parts is None
        return
    effects = np.linalg.lstsq(design, y, rcond=None)[0]
    centre = np.eye(dates)[seen] - seen / seen.sum()
    m = centre @ effects[tasks:]
    n_dates, df = int(seen.sum()), len(y) - rank
    square = float(np.sum((y - design @ effects) ** 2)) / df if df else 0.0
    covariance = centre @ np.linalg.pinv(design.T @ design)[tasks:, tasks:] @ centre.T
    weight = float(np.sum((counts[used] / counts[used].sum(axis=1, keepdims=True)).mean(axis=0) ** 2))
    assert parts.spread == pytest.approx(float(np.sum(m**2)) / (n_dates - 1), abs=1e-9)
    assert parts.date == pytest.approx(parts.spread * weight)
    assert parts.noise_df == df
    assert parts.noise == pytest.approx(square * float(np.trace(covariance)) / (n_dates - 1) * weight, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 10), st.integers(3, 6), st.integers(0, 10**6))
def test_relabelling_sign_and_empty_dates(tasks, dates, seed):
    rng = np.random.default_rng(seed)
    values = study(rng, tasks, dates, sd=0.3, task_sd=0.1)
    plain = two_way(values.mean(axis=1), [full(values)], 0.95).interval
    shuffled = values[rng.permutation(tasks)][:, rng.permutation(dates)]
    again = two_way(shuffled.mean(axis=1), [full(shuffled)], 0.95).interval
    assert (again.low, again.high) == (pytest.approx(plain.low, abs=1e-9), pytest.approx(plain.high, abs=1e-9))
    flipped = two_way(-values.mean(axis=1), [full(-values)], 0.95).interval
    assert (-flipped.high, -flipped.low) == (pytest.approx(plain.low, abs=1e-9), pytest.approx(plain.high, abs=1e-9))
    wide = np.hstack([values, np.full((tasks, 2), 9.0)])
    empty = Grid(wide, np.hstack([np.ones((tasks, dates), np.int64), np.zeros((tasks, 2), np.int64)]))
    same = two_way(values.mean(axis=1), [empty], 0.95).interval
    assert (same.low, same.high) == (pytest.approx(plain.low, abs=1e-9), pytest.approx(plain.high, abs=1e-9))


@pytest.mark.parametrize(("dates", "more"), [(1, 2), (2, 1)])
def test_too_few_dates_say_how_many_are_missing(dates, more):
    grid = full(HAND[:, :dates])
    assert missing_dates(grid) == more
    for interval in (dates_sampled(0.3, grid, 0.95), two_way(np.array([0.1, 0.5]), [grid], 0.95).interval):
        assert (interval.low, interval.high) == (None, None)
        assert interval.cautions == (few_dates(grid),)
    assert f"{more} more" in few_dates(grid).message
    assert f"run {more} more" in few_dates(grid).remedy


def test_a_stated_spread_between_dates_takes_the_place_of_dates():
    values = np.random.default_rng(1).normal(0.1, 0.3, (50, 1))
    found = two_way(values[:, 0], [full(values), full(values)], 0.95, stated=0.02**2)
    assert found.excess == pytest.approx(2 * 0.02**2)
    assert "as stated" in found.interval.method
    wider = two_way(values[:, 0], [full(values)], 0.95, stated=0.2**2).interval
    assert wider.high - wider.low > found.interval.high - found.interval.low


def test_dates_that_share_no_task_tell_nothing():
    counts = np.kron(np.eye(3, dtype=np.int64), np.ones((2, 1), np.int64))
    grid = Grid(np.where(counts, 0.5, 0.0), counts)
    assert date_spread(grid) is None
    assert dates_sampled(0.5, grid, 0.95).cautions[0].code == "dates_apart"
    assert two_way(np.linspace(0, 1, 6), [grid], 0.95).interval.cautions[0].code == "dates_apart"


def test_one_task_and_no_spread_at_all():
    assert two_way(np.array([0.5]), [full(HAND[:1])], 0.95).interval.cautions[0].code == "one_task"
    tied = np.zeros((10, 4))
    found = two_way(tied.mean(axis=1), [full(tied)], 0.95).interval
    assert (found.low, found.high) == (pytest.approx(-(1 - 0.05**0.1)), pytest.approx(1 - 0.05**0.1))
    assert dates_sampled(0.0, full(tied), 0.95).cautions[0].code == "no_spread"
    always = np.ones((10, 4))
    found = two_way(always.mean(axis=1), [full(always)], 0.95).interval
    assert (found.low, found.high) == (pytest.approx(1 - 2 * (1 - 0.05**0.1)), 1.0)
    assert no_spread(3.0, 10, 0.95, bounded=False).low is None


@pytest.mark.parametrize(("discordant", "excludes"), [(4, False), (5, False), (6, True)])
def test_few_discordant_tasks_never_exclude_zero(discordant, excludes):
    """Exchanging signs, d tasks of one sign have p = 2 / 2^d: 0.0625 for five, their t excludes 0 from four on."""
    values = np.zeros((89, 3))
    values[:discordant] = 1.0
    found = two_way(values.mean(axis=1), [full(values)], 0.95).interval
    assert (found.low > 0) == excludes
    assert bool(found.cautions) != excludes
    means = values.mean(axis=1)
    assert means.mean() - t.ppf(0.975, 88) * means.std(ddof=1) / math.sqrt(89) > 0


def test_df_never_fall_below_the_least_informed_mean_square():
    """V_date - V_noise barely above 0 out of two large terms: Satterthwaite alone gives less than 1 df there."""
    worst = math.inf
    for seed in range(400):
        values = study(np.random.default_rng(seed), 20, 3, k=1, sd=0.0)
        found = two_way(values.mean(axis=1), [full(values)], 0.95)
        worst = min(worst, found.df)
    assert worst == pytest.approx(2.0)


@pytest.mark.parametrize(("tasks", "dates", "missing"), [(20, 5, 0.0), (89, 3, 0.0), (40, 5, 0.3)])
def test_coverage_over_tasks_and_dates(tasks, dates, missing):
    rng, n = np.random.default_rng(20260205), 700
    both = fixed = 0
    for _ in range(n):
        own = rng.normal(0, 0.1, tasks)
        values = own[:, None] + study(rng, tasks, dates, k=2, sd=0.05)
        counts = (rng.random(values.shape) >= missing).astype(np.int64)
        use = counts.sum(axis=1) > 0
        grid, means = Grid(values[use], counts[use]), (values * counts).sum(axis=1)[use] / counts.sum(axis=1)[use]
        wide, narrow = two_way(means, [grid], 0.95).interval, dates_sampled(float(means.mean()), grid, 0.95)
        both += wide.low <= 0 <= wide.high
        fixed += narrow.low <= own[use].mean() <= narrow.high
    error = 3 * math.sqrt(0.05 * 0.95 / n)
    assert both / n > 0.95 - error
    assert abs(fixed / n - 0.95) < error
