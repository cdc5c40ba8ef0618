"""Calibration's own methods: exact limits, intervals where hardly a block is discordant, power, the test of a fall."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some

from raysweep.stats.methods.calibration import (
    TaskMoments,
    blocks_needed,
    clopper_pearson,
    difference_interval,
    mcnemar_fall,
    outside,
    rate_trials_needed,
    tost_power,
    trials_for_maximum,
    within,
)
from raysweep.stats.methods.interval import Interval, tasks_fixed


def moments(up, down, k, *, binary=True, unit=True):
    """From discordant blocks per task, (T,) each, of k blocks."""
    up, down = np.asarray(up), np.asarray(down)
    means = (up - down) / k
    variances = ((up + down) / k - means**2) * k / max(1, k - 1)
    pooled = float(np.var(np.repeat([1.0, -1.0, 0.0], [up.sum(), down.sum(), len(up) * k - up.sum() - down.sum()])))
    counts = np.full(len(up), k)
    return TaskMoments(means, variances, counts, int(up.sum()), int(down.sum()), binary, unit, pooled)


def flat(variance, k, tasks=89):
    """Tasks that all have this variance of a difference and no mean."""
    return TaskMoments(np.zeros(tasks), np.full(tasks, variance), np.full(tasks, k), 500, 500, True, True, variance)


@given(some.integers(1, 200).flatmap(lambda n: some.tuples(some.integers(0, n), some.just(n))))
def test_exact_limits_are_scipys(case):
    k, n = case
    low, high = clopper_pearson(k, n, 0.95)
    expected = st.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_exact_limits_without_a_trial_say_nothing():
    assert [float(x) for x in clopper_pearson(0, 0, 0.9)] == [0.0, 1.0]


def test_all_pairs_tied_gives_the_exact_bound():
    bound = 1 - 0.05 ** (1 / 200)
    interval = difference_interval(moments([0] * 10, [0] * 10, 20), 0.9)
    assert (interval.low, interval.high) == pytest.approx((-bound, bound))
    assert within(interval, 0.02)
    assert not within(difference_interval(moments([0] * 10, [0] * 10, 5), 0.9), 0.02)


@pytest.mark.parametrize(
    ("up", "down"), [(0.02, 0.0), (0.05, 0.0), (0.05, 0.05), (0.1, 0.02), (0.15, 0.1), (0.3, 0.05)]
)
def test_limits_of_few_discordant_blocks_cover_by_enumeration(up, down):
    """One-sided 95 % limits on 4 tasks x 10 blocks: the exact coverage of the multinomial, both sides."""
    n, truth, covered = 40, up - down, np.zeros(2)
    total = 0.0
    for a in range(30):
        for b in range(30 - a):
            p = math.comb(n, a) * math.comb(n - a, b) * up**a * down**b * (1 - up - down) ** (n - a - b)
            if p < 1e-7:
                continue
            spread = [np.array([x // 4 + (i < x % 4) for i in range(4)]) for x in (a, b)]
            interval = difference_interval(moments(*spread, 10), 0.9)
            covered += p * np.array([interval.low <= truth, truth <= interval.high])
            total += p
    assert total > 0.999
    assert covered.min() >= 0.945


@given(some.lists(some.tuples(some.integers(0, 9), some.integers(0, 9)), min_size=1, max_size=30))
def test_swapping_arms_mirrors_the_interval_and_the_value_is_inside(tasks):
    up, down = np.array(tasks).T
    there, back = difference_interval(moments(up, down, 20), 0.9), difference_interval(moments(down, up, 20), 0.9)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low <= float(np.mean((up - down) / 20)) <= there.high


def test_many_discordant_blocks_give_the_closed_form():
    m = moments([3] * 20, [2] * 20, 30)
    closed = tasks_fixed(m.means, m.variances, m.counts, 0.9)
    assert difference_interval(m, 0.9) == closed


def test_one_block_per_task_has_an_interval_that_is_wider_than_none():
    interval = difference_interval(moments([1] * 40 + [0] * 60, [0] * 60 + [1] * 40, 1), 0.9)
    assert interval.low < 0 < interval.high
    assert interval.high == pytest.approx(1.645 * math.sqrt(0.8 / 100), rel=0.15)


def test_rewards_between_0_and_1_are_bounded_by_the_discordant_shares():
    interval = difference_interval(moments([2] * 5, [0] * 5, 20, binary=False), 0.9)
    _, high = clopper_pearson(np.array([0.0, 10.0]), 100, 0.9)
    assert (interval.low, interval.high) == pytest.approx((-float(high[0]), float(high[1])))


def test_no_block_gives_no_interval_and_no_verdict():
    empty = TaskMoments(np.zeros(0), np.zeros(0), np.zeros(0, dtype=int), 0, 0, True, True, 0.0)
    assert difference_interval(empty, 0.9).low is None
    assert blocks_needed(empty, 0.02, 0.05) is None
    nothing = Interval(None, None, "none")
    assert not within(nothing, 1.0)
    assert not outside(nothing, 0.0)


def test_power_is_the_guides():
    """Delta 2 points, T = 89, within-task variance of a difference 0.27: 0, 48, 80 and 98 % at K = 20, 40, 65, 120."""
    found = [tost_power(0.02, math.sqrt(0.27 / (89 * k)), 5000.0, 0.05) for k in (20, 40, 65, 120)]
    assert found == pytest.approx([0, 0.48, 0.80, 0.98], abs=0.01)
    assert blocks_needed(flat(0.27, 20), 0.02, 0.05) == 65


def test_power_with_few_degrees_of_freedom_is_that_of_a_simulation():
    rng, df, se = np.random.default_rng(4), 12, 0.008
    estimate, scale = rng.normal(0, se, 40_000), se * np.sqrt(rng.chisquare(df, 40_000) / df)
    reach = st.t.isf(0.05, df) * scale
    seen = np.mean((estimate + reach < 0.02) & (estimate - reach > -0.02))
    assert tost_power(0.02, se, df, 0.05) == pytest.approx(seen, abs=0.02)


def test_blocks_needed_shrink_with_the_margin_and_without_discord():
    m = flat(0.27, 20)
    assert blocks_needed(m, 0.02, 0.05) > blocks_needed(m, 0.05, 0.05)
    tied = moments([0] * 10, [0] * 10, 3)
    k = blocks_needed(tied, 0.02, 0.05)
    assert within(difference_interval(moments([0] * 10, [0] * 10, k), 0.9), 0.02)
    assert not within(difference_interval(moments([0] * 10, [0] * 10, k - 1), 0.9), 0.02)


def test_with_one_block_each_the_spread_over_tasks_stands_in():
    one = moments([1] * 30 + [0] * 70, [0] * 70 + [1] * 30, 1)
    assert blocks_needed(one, 0.02, 0.05) == pytest.approx(0.6 / 100 * (2.926 / 0.02) ** 2, rel=0.05)


@given(some.integers(0, 60), some.integers(0, 60))
def test_the_fall_is_scipys_one_sided_binomial(falls, rises):
    p = mcnemar_fall(falls, rises)
    expected = st.binomtest(falls, falls + rises, alternative="greater").pvalue if falls + rises else 1.0
    assert p == pytest.approx(expected)


def test_the_fall_holds_its_level_over_clustered_tasks():
    """Deaths in few tasks, the same in both arms; 4,000 studies."""
    rng = np.random.default_rng(9)
    q = rng.beta(0.01, 0.19, (4000, 20))
    cells = np.stack([q * (1 - q), q * (1 - q), 1 - 2 * q * (1 - q)], axis=-1)
    drawn = rng.multinomial(30, cells).sum(axis=1)
    claimed = np.mean([mcnemar_fall(int(d[0]), int(d[1])) < 0.05 for d in drawn])
    assert claimed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_tost_holds_its_level_at_the_margin():
    rng, n, passes = np.random.default_rng(11), 1500, 0
    q = rng.beta(0.9, 1.1, (n, 20))
    p = q + 0.08 * (1 - q) / (1 - q.mean(axis=1, keepdims=True))
    up, down = (rng.binomial(30, x) for x in (p * (1 - q), q * (1 - p)))
    for u, d in zip(up, down, strict=True):
        passes += within(difference_interval(moments(u, np.minimum(d, 30 - u), 30), 0.9), 0.08)
    assert passes / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_a_largest_value_stands_for_its_share():
    assert trials_for_maximum(0.95, 0.95) == 59
    assert trials_for_maximum(0.99, 0.95) == 299


def test_trials_for_a_rate_below_its_maximum():
    assert rate_trials_needed(0, 50, 0.01, 0.05) == 299
    assert rate_trials_needed(3, 100, 0.01, 0.05) is None
    n = rate_trials_needed(5, 1000, 0.01, 0.05)
    most = max(k for k in range(n) if float(clopper_pearson(k, n, 0.9)[1]) <= 0.01)
    assert st.binom.cdf(most, n, 0.005) == pytest.approx(0.8, abs=0.08)
