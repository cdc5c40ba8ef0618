"""Max-t bands and the change-point set that rests on them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from raysweep.stats.methods.changepoint import change_point
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.simultaneous import expanded, max_t

HOW = Draws(seed=3, replicates=2000, level=0.95)


def normal_draws(columns, rows=40_000, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def test_one_column_is_the_normal_interval():
    bands = max_t(np.zeros(1), normal_draws(1), 0.95)
    assert bands.high[0] == pytest.approx(1.96, abs=0.04)
    assert bands.low[0] == -bands.high[0]


def test_independent_columns_are_sidaks():
    for sides, expected in ((False, st.norm.ppf(0.5 + 0.95 ** (1 / 5) / 2)), (True, st.norm.ppf(0.95 ** (1 / 5)))):
        assert max_t(np.zeros(5), normal_draws(5), 0.95, one_sided=sides).critical == pytest.approx(expected, abs=0.04)


def test_repeated_columns_cost_nothing():
    one = normal_draws(1)
    assert max_t(np.zeros(4), np.repeat(one, 4, axis=1), 0.95).critical == pytest.approx(
        max_t(np.zeros(1), one, 0.95).critical
    )


def test_columns_of_any_scale_share_one_critical_value():
    draws = normal_draws(3) * np.array([1.0, 100.0, 0.01]) + 5
    bands = max_t(np.full(3, 5.0), draws, 0.95)
    assert bands.high - bands.low == pytest.approx(2 * bands.critical * draws.std(axis=0))
    assert np.all(bands.low < 5)


def test_one_sided_has_no_upper_end():
    bands = max_t(np.zeros(2), normal_draws(2), 0.95, one_sided=True)
    assert np.all(np.isinf(bands.high))
    assert np.all(bands.low > max_t(np.zeros(2), normal_draws(2), 0.95).low)


def test_columns_without_spread_are_closed():
    draws = normal_draws(3)
    draws[:, 1] = 0.25
    bands = max_t(np.array([0.0, 0.25, 0.0]), draws, 0.95)
    assert bands.used.tolist() == [True, False, True]
    assert np.isnan(bands.low).tolist() == [False, True, False]
    assert bands.critical == pytest.approx(max_t(np.zeros(2), draws[:, [0, 2]], 0.95).critical)
    assert max_t(np.ones(2), np.ones((10, 2)), 0.95).critical is None


def test_expansion_is_hesterbergs():
    assert expanded(1.959964, 10) == pytest.approx(np.sqrt(10 / 9) * st.t.ppf(0.975, 9), rel=1e-6)
    assert expanded(2.5, 10**6) == pytest.approx(2.5, rel=1e-4)


def test_expanded_bands_hold_together():
    """Five equal arms against a reference, 20 tasks: all five contrasts covered at once."""
    rng, hits = np.random.default_rng(4), 0
    for _ in range(400):
        p = rng.beta(1, 1, (20, 1))
        y = rng.binomial(3, p, (20, 6)) / 3
        d = y[:, 1:] - y[:, :1]
        bands = max_t(d.mean(axis=0), HOW.sums(d) / 20, 0.95, units=20)
        hits += bool(np.all((bands.low <= 0) & (bands.high >= 0)))
    assert hits / 400 >= 0.917  # 0.95 less 3 Monte Carlo s.e.


def test_change_point_names_the_one_clear_peak():
    means = np.array([0.1, 0.5, 0.2])
    found = change_point(means, means + 0.01 * normal_draws(3, 2000), 0.95)
    assert (found.peak, found.members) == (1, (1,))


def test_change_point_keeps_what_cannot_be_told_apart():
    means = np.array([0.1, 0.5, 0.49, 0.2])
    found = change_point(means, means + 0.02 * normal_draws(4, 2000), 0.95)
    assert (found.peak, found.members) == (1, (1, 2))


def test_change_point_without_spread_or_rivals():
    means = np.array([0.1, 0.5, 0.2])
    assert change_point(means, np.tile(means, (10, 1)), 0.95).members == (0, 1, 2)
    assert change_point(means[:1], means[:1] + normal_draws(1, 100), 0.95).members == (0,)


def test_change_point_set_holds_the_truth_where_all_are_equal():
    """The least favourable case: every multiplier is a true argmax, and each is held at the level."""
    rng, held = np.random.default_rng(5), np.zeros(4)
    for _ in range(400):
        f = rng.binomial(4, rng.beta(1, 1, (30, 1)), (30, 4)) / 4
        members = change_point(f.mean(axis=0), HOW.sums(f) / 30, 0.95, units=30).members
        held[list(members)] += 1
    assert np.all(held / 400 >= 0.917)


@pytest.mark.parametrize("workers", [1, 3])
def test_bands_rest_on_the_shared_draws(workers):
    from concurrent.futures import ThreadPoolExecutor

    d = np.random.default_rng(6).normal(size=(25, 3))
    alone = max_t(d.mean(axis=0), HOW.sums(d) / 25, 0.95)
    with ThreadPoolExecutor(workers) as pool:
        other = Draws(seed=3, replicates=2000, level=0.95, map=pool.map)
        together = max_t(d.mean(axis=0), other.sums(d) / 25, 0.95)
    assert np.array_equal(alone.low, together.low)
