"""Variance components: least squares of occasion means, mean squares, intervals and how many dates they need."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as hs

from raysweep.stats.methods.variance import (
    TINY,
    Squares,
    bucket_component,
    bucket_power,
    date_component,
    dates_for,
    difference_component,
    effect_component,
    interaction_component,
    mean_squares,
    occasion_component,
    occasion_means,
)

DYESTUFF = [
    [1545, 1440, 1440, 1520, 1580], [1540, 1555, 1490, 1560, 1495], [1595, 1550, 1605, 1510, 1560],
    [1445, 1440, 1595, 1465, 1545], [1595, 1630, 1515, 1635, 1625], [1520, 1455, 1450, 1480, 1445],
]  # fmt: skip


def dense_least_squares(values, counts):
    """Task + occasion by a dense design matrix: means (centred), MS, df, covariance of the centred means."""
    tasks, occasions = values.shape
    t, o = np.nonzero(counts)
    design = np.zeros((len(t), tasks + occasions))
    design[np.arange(len(t)), t] = 1.0
    design[np.arange(len(t)), tasks + o] = 1.0
    fit, _, rank, _ = np.linalg.lstsq(design, values[t, o], rcond=None)
    centre = np.eye(occasions) - 1 / occasions
    cover = centre @ np.linalg.pinv(design.T @ design)[tasks:, tasks:] @ centre
    df = len(t) - int(rank)
    return centre @ fit[tasks:], np.sum((values[t, o] - design @ fit) ** 2) / max(df, 1), df, cover


def noisy(tasks=30, shape=(4, 7), *, seed=1, sd=0.1):
    return np.random.default_rng(seed).normal(0.5, sd, (tasks, *shape))


def test_dyestuff_through_the_mean_squares():
    s = mean_squares(np.array(DYESTUFF, float))
    within = (s.date * s.df_date + s.rest * s.df_rest) / 24
    assert within == pytest.approx(2451.25)
    assert (s.bucket - within) / 5 == pytest.approx(1764.05)
    assert difference_component(s.bucket, 5, within, 24, divisor=5, level=0.95).value == pytest.approx(1764.05)


@given(seed=hs.integers(0, 10_000), missing=hs.sampled_from([0.0, 0.2, 0.5]), tasks=hs.integers(4, 12))
@settings(max_examples=40, deadline=None)
def test_occasion_means_are_the_least_squares_ones(seed, missing, tasks):
    rng = np.random.default_rng(seed)
    values, counts = rng.random((tasks, 6)), rng.integers(1, 4, (tasks, 6))
    counts[1:][rng.random((tasks - 1, 6)) < missing] = 0  # the first task ties all occasions together
    found = occasion_means(values, counts)
    means, square, df, cover = dense_least_squares(values, counts)
    assert found.means - found.means.mean() == pytest.approx(means, abs=1e-10)
    assert found.df == df
    assert found.square is None if df == 0 else found.square == pytest.approx(square)
    assert found.spread == pytest.approx(cover, abs=1e-10)


def test_tasks_rotated_unevenly_do_not_look_like_occasions():
    rng = np.random.default_rng(3)
    difficulty, t, o = rng.random(40), *np.indices((40, 8))
    counts = ((t + o) % 4 < 2).astype(int)
    counts[difficulty > 0.5, ::2] = 0
    values = np.broadcast_to(difficulty[:, None], (40, 8))
    naive = np.array([values[counts[:, k] > 0, k].mean() for k in range(8)])
    assert naive.std() > 0.1
    assert occasion_means(values, counts).means.std() < 1e-12


def test_occasions_without_common_tasks_have_no_means():
    apart = occasion_means(np.eye(4), np.kron(np.eye(2, dtype=int), np.ones((2, 2), dtype=int)))
    assert np.isnan(apart.means).all()
    assert apart.df == 2  # 8 cells, 4 tasks, 4 occasions, 2 parts
    empty = occasion_means(np.zeros((3, 2)), np.array([[1, 0], [1, 0], [0, 0]]))
    assert np.isfinite(empty.means).tolist() == [True, False]
    assert occasion_means(np.zeros((0, 3)), np.zeros((0, 3), dtype=int)).square is None


def test_noise_of_missing_cells_is_expected_in_each_mean_square():
    rng = np.random.default_rng(5)
    counts = (rng.random((20, 4, 5)) < 0.7).astype(int)
    counts[5:, 3] = 0  # a bucket with few tasks: the buckets are the noisier contrast
    counts[0] = 1
    seen, expected = [], None
    for _ in range(1500):
        found = occasion_means(rng.normal(0, 1, (20, 20)), counts.reshape(20, 20))
        s = mean_squares(found.means.reshape(4, 5), found.spread, 1.0)
        seen.append((s.bucket, s.date, s.rest))
        expected = s.noise_bucket, s.noise_date, s.noise_rest
    error = np.std(seen, axis=0) / math.sqrt(len(seen))
    assert np.all(np.abs(np.mean(seen, axis=0) - expected) < 4 * error)
    assert expected[0] > 1.1 * expected[2]


def test_balanced_noise_is_the_guides_formula():
    values = noisy(tasks=30)
    found = occasion_means(values.reshape(30, 28), np.ones((30, 28), dtype=int))
    s = mean_squares(found.means.reshape(4, 7), found.spread, found.square)
    each = (s.noise_bucket, s.noise_date, s.noise_rest)
    assert each == pytest.approx([found.square / 30] * 3)
    assert s.under_bucket == pytest.approx(s.rest)
    assert occasion_component(s, found.df, 0.95).value == pytest.approx(s.rest - found.square / 30)
    assert date_component(s, 0.95).value == pytest.approx((s.date - s.rest) / 4)
    assert occasion_component(s, 0, 0.95) is None


@given(ratio=hs.floats(0.001, 60), df1=hs.integers(1, 6), dates=hs.integers(2, 30))
@settings(max_examples=150, deadline=None)
def test_the_lower_limit_is_the_f_test_and_no_upper_limit_is_zero(ratio, df1, dates):
    df2 = df1 * (dates - 1)
    found = effect_component(ratio, df1, 1.0, df2, size=dates * (df1 + 1), level=0.95)
    p = st.f.sf(ratio, df1, df2)
    if abs(p - 0.05) > 1e-6:
        assert (found.low > 0) == (p < 0.05)
    assert 0 <= found.low < found.high
    assert found.low <= max(0.0, ratio * df1 / (dates * (df1 + 1)))


@pytest.mark.parametrize("noncentral", [0.0, 1.0, 5.0, 20.0])
def test_the_tapered_interval_covers_exactly(noncentral):
    rng = np.random.default_rng(7)
    draws = 3000
    top = rng.noncentral_chisquare(3, noncentral, draws) if noncentral else rng.chisquare(3, draws)
    ratios = (top / 3) / (rng.chisquare(18, draws) / 18)
    found = [effect_component(r, 3, 1.0, 18, size=1, level=0.95) for r in ratios]
    share = np.mean([c.low <= noncentral <= c.high for c in found])
    assert share == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / draws))


@pytest.mark.parametrize(("truth", "df2"), [(0.0, 100), (0.5, 18), (5.0, 1000)])
def test_modified_large_sample_covers(truth, df2):
    rng = np.random.default_rng(8)
    hits, draws = 0, 3000
    for a, b in zip(rng.chisquare(9, draws) / 9 * (1 + truth), rng.chisquare(df2, draws) / df2, strict=True):
        c = difference_component(a, 9, b, df2, divisor=1.0, level=0.95)
        hits += c.low <= truth <= c.high
    assert 0.935 <= hits / draws <= 0.965


def test_the_limits_join_their_far_ones():
    near, far = (effect_component(r, 3, 1.0, 30, size=1, level=0.95) for r in (4e6, 4e7))
    assert far.low / near.low == pytest.approx(10, rel=1e-3)
    assert far.high / near.high == pytest.approx(10, rel=1e-3)


def test_equal_means_have_no_component():
    s = mean_squares(np.full((3, 4), 0.5))
    assert s.rest <= TINY
    assert bucket_component(s, 0.95) is None


@pytest.mark.parametrize(
    ("dates", "trials", "power"), [(7, 1, 26), (7, 2, 46), (7, 6, 86), (14, 1, 53), (14, 2, 83), (14, 6, 100)]
)
def test_power_is_the_guides(dates, trials, power):
    """89 tasks, 4 buckets, amplitude 2 points, occasion sd 1; its task difficulties have a mean p (1 - p) of 0.136."""
    noise = 1e-4 + 0.136 / (trials * 89)
    found = bucket_power(np.array([dates]), noise, 4, rms=0.02 / math.sqrt(2), level=0.95)[0]
    assert 100 * found == pytest.approx(power, abs=1.5)
    truth = st.ncf.sf(st.f.ppf(0.95, 3, 3 * (dates - 1)), 3, 3 * (dates - 1), dates * 4 * 2e-4 / noise)
    assert found == pytest.approx(truth, abs=1e-9)


def test_dates_for_is_the_first_number_with_power():
    need = dates_for(1e-3, 4, rms=0.02 / math.sqrt(2), level=0.95)
    power = bucket_power(np.array([need - 1, need]), 1e-3, 4, rms=0.02 / math.sqrt(2), level=0.95)
    assert power[0] < 0.8 <= power[1]
    assert dates_for(0.0, 4, rms=0.01, level=0.95) is None
    assert dates_for(1.0, 4, rms=0.01, level=0.95) is None


def test_two_arms_interact_as_their_difference_varies():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, (2, 4, 6))
    a[0] += 3
    arms = [mean_squares(g - (a + b) / 2) for g in (a, b)]
    test, component = interaction_component(arms, 0.95)
    s: Squares = mean_squares(a - b)
    assert test.ratio == pytest.approx(s.bucket / s.rest)
    assert (test.df1, test.df2) == (3, 15)
    effects = (a - b).mean(axis=1) / 2
    biased = np.sum((effects - effects.mean()) ** 2) * 2 / 8
    assert component.value == pytest.approx(biased - 3 / 48 * sum(x.rest for x in arms))
    assert component.low > 0
