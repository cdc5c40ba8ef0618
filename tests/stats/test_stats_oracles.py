"""Published numbers and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st

from raysweep.stats.methods.interval import (
    Draws,
    expanded_percentile,
    mean_ratio,
    t_interval,
    tasks_fixed,
    tasks_sampled,
)
from raysweep.stats.methods.rare import newcombe, newcombe_by_task, newcombe_paired, tied_bound, wilson
from raysweep.stats.methods.variance import (
    bucket_component,
    dates_needed,
    difference_component,
    mean_squares,
    noncentrality,
)

DYESTUFF = [
    [1545, 1440, 1440, 1520, 1580], [1540, 1555, 1490, 1560, 1495], [1595, 1550, 1605, 1510, 1560],
    [1445, 1440, 1595, 1465, 1545], [1595, 1630, 1515, 1635, 1625], [1520, 1455, 1450, 1480, 1445],
]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "ends"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0000)),
        ((10, 10, 0, 10), (0.6075, 1.0000)),
    ],
)
def test_newcombe_1998_unpaired(counts, ends):
    """Stat Med 17:873, table II, method 10, all eight examples."""
    x1, n1, x2, n2 = counts
    found = newcombe(x1 / n1, n1, x2 / n2, n2, level=0.95)
    assert tuple(round(v, 4) for v in found) == ends


@pytest.mark.parametrize(
    ("table", "ends"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),  # Newcombe 1998, Stat Med 17:2635, table III (a), method 10
        ((1, 1, 7, 12), (-0.5069, -0.0256)),  # airway hyper-responsiveness: Fagerland et al. 2017, chapter 8
        ((59, 6, 16, 80), (-0.1186, -0.0046)),  # complete response: the same, by the R package contingencytables
    ],
)
def test_newcombe_1998_paired(table, ends):
    assert tuple(round(v, 4) for v in newcombe_paired(*table, level=0.95)) == ends


def test_newcombe_mirrors_exactly_and_widens_with_the_design_effect():
    for both, first, second, neither in ((36, 12, 2, 0), (59, 6, 16, 80), (3, 0, 7, 912), (1, 2, 0, 97)):
        low, high = newcombe_paired(both, first, second, neither, level=0.95, deff=(1.7, 1.7))
        assert newcombe_paired(both, second, first, neither, level=0.95, deff=(1.7, 1.7)) == (-high, -low)
        plain = newcombe_paired(both, first, second, neither, level=0.95)
        assert low < plain[0] < plain[1] < high
        assert newcombe_paired(both, first, second, neither, level=0.95, deff=(0.3, 0.3)) == plain


def test_newcombe_by_task_counts_tasks_not_blocks_when_tasks_agree():
    """Ten tasks of six blocks that all end alike are ten pairs, not sixty: the design effect is six."""
    arm, reference = np.repeat([1.0, 1, 1, 0, 0, 0, 0, 0, 0, 0], 6), np.repeat([0.0] * 9 + [1.0], 6)
    sides, counts = np.stack([x.reshape(10, 6).mean(axis=1) for x in (arm, reference)], axis=1), np.full(10, 6)
    found = newcombe_by_task(arm, reference, sides, counts, level=0.95)
    assert found.deff == pytest.approx(6 * 10 / 9)  # the variance of ten tasks has nine degrees of freedom
    narrow = newcombe_paired(0, 18, 6, 36, level=0.95)
    assert found.low < narrow[0] < narrow[1] < found.high


def test_wilson_agrees_with_scipy():
    for k, n in ((0, 10), (3, 40), (40, 40), (7, 9)):
        expected = st.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert wilson(k / n, n, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_tied_bound_is_the_exact_binomial_one():
    assert 1 - tied_bound(10, 0.95) == pytest.approx(0.05 ** (1 / 10))


def test_dyestuff_components():
    data = np.array(DYESTUFF, float)
    between = 5 * data.mean(axis=1).var(ddof=1)
    within = data.var(axis=1, ddof=1).mean()
    c = difference_component(between, 5, within, 24, divisor=5, level=0.95)
    assert within == pytest.approx(2451.25)
    assert c.value == pytest.approx(1764.05, abs=0.005)
    assert c.low < c.value < c.high


def test_expanded_percentile_widens_to_the_t_interval():
    d = np.random.default_rng(8).normal(0, 1, 25)
    draws = Draws(seed=1, replicates=40_000, level=0.95).sums(d[:, None])[:, 0] / 25
    low, high = expanded_percentile(draws, 25, 0.95)
    plain = t_interval(d, 0.95)
    assert (low, high) == pytest.approx((plain.low, plain.high), abs=0.06)


def test_t_interval_is_scipys():
    d = np.array([0.1, 0.4, -0.2, 0.3, 0.0])
    expected = st.ttest_1samp(d, 0).confidence_interval(0.95)
    found = t_interval(d, 0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_tasks_fixed_closed_form():
    variances, counts = np.array([0.25, 0.16, 0.09]), np.array([4, 4, 4])
    found = tasks_fixed(np.array([0.1, 0.2, 0.3]), variances, counts, 0.95)
    se = math.sqrt(sum(v / 4 for v in variances)) / 3
    df = sum(variances / 4) ** 2 / sum((variances / 4) ** 2 / 3) * 5 / 3
    assert found.high == pytest.approx(0.2 + st.t.ppf(0.975, df) * se)


def test_noncentral_f_inversion_hits_its_probability():
    lam = noncentrality(9.0, 3, 6, 0.025)
    assert st.ncf.cdf(9.0, 3, 6, lam) == pytest.approx(0.025, abs=1e-6)
    assert noncentrality(0.2, 3, 6, 0.975) == 0.0


def test_bucket_component_is_unbiased_in_its_sign():
    rng = np.random.default_rng(4)
    beta = np.array([1.0, -1.0, 0.5, -0.5])
    values = []
    for _ in range(1500):
        grid = beta[:, None] + rng.normal(0, 1, (4, 3))
        s = mean_squares(grid)
        values.append(3 / 12 * (s.bucket - s.rest))
    assert np.mean(values) == pytest.approx((beta**2).mean(), abs=3 * np.std(values) / math.sqrt(1500))


def test_bucket_interval_covers():
    rng = np.random.default_rng(4)
    beta = np.array([0.01, -0.01])
    hits = 0
    for _ in range(200):
        c = bucket_component(mean_squares(beta[:, None] + rng.normal(0, 0.01, (2, 4))), 0.95)
        hits += c.low <= 1e-4 <= c.high
    assert hits >= 180  # 200 x 0.95 less 3 Monte Carlo s.e.


def test_dates_needed_falls_with_less_noise():
    rng = np.random.default_rng(1)
    s = mean_squares(rng.normal(0, 0.01, (4, 3)))
    assert dates_needed(s, 1e-4, rms=0.014, level=0.95) < dates_needed(s, 4e-4, rms=0.014, level=0.95)
    assert dates_needed(s, 10.0, rms=0.014, level=0.95) is None


def test_tasks_sampled_covers_with_the_default_methods():
    rng = np.random.default_rng(11)
    for tasks in (10, 40):
        how = Draws(seed=1, replicates=1000, level=0.95)
        hits = 0
        for _ in range(400):
            p = rng.beta(1, 1, tasks)
            d = rng.binomial(3, p) / 3 - rng.binomial(3, p) / 3
            found = tasks_sampled(mean_ratio(d), None, how)
            hits += found.low is not None and found.low <= 0 <= found.high
        assert 0.918 <= hits / 400 <= 0.982  # 0.95 +- 3 Monte Carlo s.e.
