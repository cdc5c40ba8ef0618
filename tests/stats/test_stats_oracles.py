"""Published numbers and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st

from raysweep.stats.methods.draws import CHUNK, matrix, replicates
from raysweep.stats.methods.interval import (
    Draws,
    expanded_percentile,
    mean_ratio,
    t_interval,
    tasks_fixed,
    tasks_sampled,
)
from raysweep.stats.methods.rare import newcombe, newcombe_paired, tied_bound, wilson
from raysweep.stats.methods.variance import (
    bucket_component,
    dates_needed,
    difference_component,
    mean_squares,
    noncentrality,
)

LAW_LSAT = [576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
LAW_GPA = [3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96]
DYESTUFF = [
    [1545, 1440, 1440, 1520, 1580], [1540, 1555, 1490, 1560, 1495], [1595, 1550, 1605, 1510, 1560],
    [1445, 1440, 1595, 1465, 1545], [1595, 1630, 1515, 1635, 1625], [1520, 1455, 1450, 1480, 1445],
]  # fmt: skip


def test_newcombe_1998_unpaired_example():
    low, high = newcombe(56 / 70, 70, 48 / 80, 80, level=0.95)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_newcombe_1998_paired_example():
    low, high = newcombe_paired(36, 12, 2, 0, level=0.95)
    assert (round(low, 4), round(high, 4)) == (0.0569, 0.3404)


def test_wilson_agrees_with_scipy():
    for k, n in ((0, 10), (3, 40), (40, 40), (7, 9)):
        expected = st.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert wilson(k / n, n, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_tied_bound_is_the_exact_binomial_one():
    assert 1 - tied_bound(10, 0.95) == pytest.approx(0.05 ** (1 / 10))


def test_law_school_bootstrap():
    """Efron and Tibshirani: r 0.776, s.e. 0.133, percentile interval (0.46, 0.96)."""
    x, y = np.array(LAW_LSAT, float), np.array(LAW_GPA)
    columns = np.stack([np.ones(15), x, y, x * x, y * y, x * y], axis=1)
    n, sx, sy, sxx, syy, sxy = replicates(matrix(15, seed=3, draws=40_000), columns).T
    r = (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(0.776374, abs=1e-6)
    assert r.std() == pytest.approx(0.133, abs=0.003)
    assert np.quantile(r, [0.025, 0.975]) == pytest.approx([0.46, 0.96], abs=0.012)


def test_dyestuff_components():
    data = np.array(DYESTUFF, float)
    between = 5 * data.mean(axis=1).var(ddof=1)
    within = data.var(axis=1, ddof=1).mean()
    c = difference_component(between, 5, within, 24, divisor=5, level=0.95)
    assert within == pytest.approx(2451.25)
    assert c.value == pytest.approx(1764.05, abs=0.005)
    assert c.low < c.value < c.high


def test_paired_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(5)
    a, b = rng.binomial(6, 0.6, 40) / 6, rng.binomial(6, 0.5, 40) / 6
    theirs = st.bootstrap(
        (a, b), lambda x, y, axis=-1: x.mean(axis=axis) - y.mean(axis=axis), paired=True, vectorized=True,
        method="percentile", n_resamples=20_000, random_state=1,
    )  # fmt: skip
    ours = replicates(matrix(40, seed=1, draws=20_000), (a - b)[:, None])[:, 0] / 40
    assert ours.std() == pytest.approx(theirs.standard_error, rel=0.03)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(theirs.confidence_interval, abs=0.006)


def test_bootstrap_error_is_the_closed_form_one():
    d = np.random.default_rng(6).normal(0.1, 0.3, 89)
    ours = replicates(matrix(89, seed=1, draws=40_000), d[:, None])[:, 0] / 89
    assert ours.std() == pytest.approx(d.std() / math.sqrt(89), rel=0.02)


def test_expanded_percentile_widens_to_the_t_interval():
    d = np.random.default_rng(8).normal(0, 1, 25)
    draws = replicates(matrix(25, seed=1, draws=40_000), d[:, None])[:, 0] / 25
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


def test_draws_do_not_depend_on_workers():
    from concurrent.futures import ThreadPoolExecutor

    alone = matrix(13, seed=9, draws=3 * CHUNK)
    with ThreadPoolExecutor(4) as pool:
        together = matrix(13, seed=9, draws=3 * CHUNK, map=pool.map)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert not np.array_equal(alone[0], alone[1])
    assert (alone[0].sum(axis=1) == 13).all()


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
