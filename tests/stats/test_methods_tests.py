"""Tests of hypotheses: published numbers, scipy, invariances, and their level under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as hy
from hypothesis.extra.numpy import arrays

from raysweep.stats.methods.equivalence import tost
from raysweep.stats.methods.multiplicity import holm
from raysweep.stats.methods.permutation import DRAWS, bucket_label_p, platform_p, sign_flip, smallest_label_p
from raysweep.stats.methods.stratified import cmh, mcnemar
from raysweep.stats.methods.trend import page

MAIZE = [
    49,
    -67,
    8,
    16,
    6,
    23,
    28,
    41,
    14,
    29,
    56,
    24,
    75,
    60,
    -48,
]  # Darwin 1876, cross minus self, eighths of an inch
# UCBAdmissions by department A..F: men admitted, rejected, women admitted, rejected
ADMISSIONS = np.array(
    [(512, 313, 89, 19), (353, 207, 17, 8), (120, 205, 202, 391), (138, 279, 131, 244), (53, 138, 94, 299),
     (22, 351, 24, 317)]
)  # fmt: skip

numbers = hy.floats(-5, 5).map(lambda x: round(x, 2))


def admissions():
    men, no_men, women, no_women = ADMISSIONS.T
    return cmh(men, men + no_men, women, women + no_women)


def at_most(hits, studies, level=0.05):
    """False positives within `level` and three Monte Carlo standard errors."""
    return hits / studies <= level + 3 * math.sqrt(level * (1 - level) / studies)


def test_darwins_maize():
    found = sign_flip(np.array(MAIZE, float), seed=1)
    assert sum(MAIZE) == 314
    assert (found.at_least, found.flips, found.exact) == (2 * 863, 32_768, True)
    assert round(found.p, 6) == 0.052673


def test_sign_flip_agrees_with_scipy_beyond_the_exact_size():
    d = np.random.default_rng(3).normal(0.25, 1, 40)
    theirs = st.permutation_test(
        (d, -d), lambda x, y, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True, n_resamples=20_000,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    ours = sign_flip(d, seed=1)
    assert not ours.exact
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.012)
    assert ours.p == pytest.approx(st.ttest_1samp(d, 0).pvalue, abs=0.02)


def test_monte_carlo_and_exact_sign_flips_agree():
    d = np.random.default_rng(8).normal(0.3, 1, 21)
    sums = d[:1]
    for x in d[1:]:
        sums = np.concatenate([sums + x, sums - x])
    exact = np.mean(np.abs(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip(d, seed=4).p == pytest.approx(exact, abs=4 * math.sqrt(exact / DRAWS))


@given(arrays(float, hy.integers(1, 12), elements=numbers), hy.integers(0, 3))
def test_sign_flip_sees_neither_sign_nor_scale_nor_zeros(d, zeros):
    p = sign_flip(d, seed=1).p
    assert sign_flip(-d, seed=1).p == p
    assert sign_flip(d * 7, seed=1).p == p
    assert sign_flip(np.append(d, np.zeros(zeros)), seed=1).p == p
    assert 0 < p <= 1


def test_sign_flip_of_one_task_none_and_all_equal():
    assert sign_flip(np.array([0.4]), seed=1).p == 1.0
    assert sign_flip(np.zeros(0), seed=1).p is None
    assert sign_flip(np.zeros(30), seed=1).p == 1.0
    assert sign_flip(np.full(30, 0.1), seed=1).p == 1 / (DRAWS + 1)  # never 0
    assert sign_flip(np.full(8, 0.1), seed=1).p == 2 / 2**8


@pytest.mark.parametrize("tasks", [8, 30])
def test_sign_flip_holds_its_level(tasks):
    rng = np.random.default_rng(5)
    p = rng.beta(1, 1, (800, tasks))
    d = (rng.binomial(3, p) - rng.binomial(3, p)) / 3
    assert at_most(sum(sign_flip(x, seed=i, draws=499).p <= 0.05 for i, x in enumerate(d)), 800)


def test_admissions_at_berkeley():
    found = admissions()
    assert (round(found.statistic, 4), round(found.p_plain, 4)) == (1.5246, 0.2169)
    assert (round(found.corrected, 4), round(found.p_corrected, 4)) == (1.4269, 0.2323)
    assert round(found.odds_ratio, 6) == 0.904697
    assert (round(found.odds_low, 6), round(found.odds_high, 6)) == (0.771907, 1.060330)
    assert found.strata == 6
    assert found.p == found.p_exact == pytest.approx(found.p_corrected, abs=0.01)


def test_cmh_of_one_stratum_is_fishers_exact_test():
    found = cmh(np.array([7]), np.array([20]), np.array([1]), np.array([18]))
    assert found.p_exact == pytest.approx(st.fisher_exact([[7, 13], [1, 17]]).pvalue)


def test_cmh_of_pairs_is_mcnemar():
    first = np.array([1, 1, 1, 1, 1, 0, 1, 0])
    second = np.array([0, 0, 0, 0, 0, 1, 1, 0])
    ones = np.ones(8, dtype=np.int64)
    found = cmh(first, ones, second, ones)
    assert found.p_exact == pytest.approx(mcnemar(5, 1).p)
    assert found.statistic == pytest.approx((5 - 1) ** 2 / 6)
    assert found.strata == 6


def test_cmh_leaves_out_strata_that_tell_nothing():
    men, no_men, women, no_women = np.append(ADMISSIONS, [(0, 9, 0, 7), (5, 0, 5, 0), (3, 4, 0, 0)], axis=0).T
    assert cmh(men, men + no_men, women, women + no_women) == admissions()


def test_cmh_without_information():
    none, ten = np.zeros(4, dtype=np.int64), np.full(4, 10)
    tied = cmh(none, ten, none, ten)
    assert (tied.p, tied.statistic, tied.odds_ratio, tied.strata) == (1.0, None, None, 0)
    assert cmh(none, none, none, ten).p is None
    one_sided = cmh(np.array([3]), np.array([9]), np.array([0]), np.array([9]))
    assert one_sided.odds_ratio is None  # infinite
    assert one_sided.p == pytest.approx(st.fisher_exact([[3, 6], [0, 9]]).pvalue)
    with pytest.raises(ValueError, match="between 0 and"):
        cmh(np.array([3]), np.array([2]), np.array([0]), np.array([2]))


def test_cmh_falls_back_on_the_corrected_statistic_for_large_tables():
    n = np.full(90, 400)
    found = cmh(np.full(90, 70), n, np.full(90, 64), n)
    assert found.p_exact is None
    assert found.p == found.p_corrected


def test_exact_cmh_is_reported_because_chi_square_rejects_on_four_events():
    """Four events in four tasks, all in one arm: by chance in 1 of 8, yet chi-square says p < 0.05."""
    found = cmh(np.ones(4, dtype=np.int64), np.full(4, 3), np.zeros(4, dtype=np.int64), np.full(4, 3))
    assert found.p_plain < 0.05
    assert found.p == found.p_exact == pytest.approx(1 / 8)


def test_exact_cmh_holds_its_level():
    rng, n = np.random.default_rng(6), np.full(20, 3)
    found = [cmh(rng.binomial(n, 0.05), n, rng.binomial(n, 0.05), n) for _ in range(800)]
    assert at_most(sum(f.p <= 0.05 for f in found), 800)


@given(hy.integers(0, 40), hy.integers(0, 40))
def test_mcnemar_is_the_binomial_test(b, c):
    found = mcnemar(b, c)
    assert found.p == pytest.approx(st.binomtest(b, b + c).pvalue if b + c else 1.0)
    assert found.p_mid <= found.p
    assert mcnemar(c, b).p_mid == found.p_mid


def test_mcnemar_mid_p_and_refusal():
    assert mcnemar(6, 1).p_mid == pytest.approx(0.125 - st.binom.pmf(1, 7, 0.5))
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_page_agrees_with_scipy_without_ties():
    values = np.random.default_rng(0).normal(size=(8, 4)) + 0.3 * np.arange(4)
    found = page(values, seed=1)
    exact = st.page_trend_test(values, method="exact")
    assert found.statistic == exact.statistic
    assert st.norm.sf(found.z) == pytest.approx(st.page_trend_test(values, method="asymptotic").pvalue, rel=1e-12)
    assert found.p_rising == pytest.approx(exact.pvalue, abs=4 * math.sqrt(exact.pvalue / DRAWS))


def test_page_corrects_for_ties():
    """Two values per block: the permutation variance, counted out by hand."""
    values = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 0]], float)
    found = page(values, seed=1)
    order = np.array([-1.0, 0, 1])
    first, second = np.array([-0.5, -0.5, 1]), np.array([-1, 0.5, 0.5])
    assert found.statistic == pytest.approx(first @ order + second @ order + 3 * 12)
    variance = 2 * (first @ first) / 2 + 2 * (second @ second) / 2
    assert found.z == pytest.approx((first @ order + second @ order) / math.sqrt(variance))
    assert found.p_rising == pytest.approx(1 / 9, abs=0.015)  # 3 x 3 distinct orders, one as extreme


def test_page_where_nothing_can_be_ranked():
    assert page(np.ones((5, 2)), seed=1).p is None
    assert page(np.ones((0, 4)), seed=1).p is None
    tied = page(np.ones((5, 4)), seed=1)
    assert (tied.p, tied.z) == (1.0, None)
    assert page(np.array([[1.0, 2, 3]]), seed=1).p == pytest.approx(2 / 6, abs=0.02)


def test_page_falls_and_rises_alike():
    values = np.random.default_rng(2).normal(size=(12, 5)) + 0.6 * np.arange(5)
    up, down = page(values, seed=1), page(values[:, ::-1], seed=1)
    assert down.z == pytest.approx(-up.z)
    assert down.p_normal == pytest.approx(up.p_normal)
    assert down.p_rising > 0.5 > up.p_rising


def test_page_holds_its_level_with_ties():
    rng = np.random.default_rng(7)
    values = rng.binomial(2, 0.5, (300, 10, 4)) / 2
    assert at_most(sum(page(v, seed=i, draws=499).p <= 0.05 for i, v in enumerate(values)), 300)


def test_bucket_labels_smallest_p():
    apart = np.arange(4.0)[:, None] + np.array([0.0, 10.0])
    assert bucket_label_p(apart, seed=1) == pytest.approx(1 / 24)
    assert smallest_label_p(4, 2) == pytest.approx(1 / 24)
    assert bucket_label_p(apart[:, :1], seed=1) is None
    assert bucket_label_p(apart[:1], seed=1) is None
    assert smallest_label_p(4, 1) == 1.0
    assert bucket_label_p(np.ones((4, 6)), seed=1) == 1.0


def test_bucket_labels_monte_carlo_agrees_with_enumeration(monkeypatch):
    grid = np.random.default_rng(4).normal(size=(3, 4)) + np.array([[0.0], [0.4], [0.8]])
    exact = bucket_label_p(grid, seed=1)
    monkeypatch.setattr("raysweep.stats.methods.permutation.EXACT_LABELLINGS", 1)
    assert bucket_label_p(grid, seed=1) == pytest.approx(exact, abs=4 * math.sqrt(exact / DRAWS))


@given(arrays(float, (3, 3), elements=numbers), arrays(float, 3, elements=numbers))
def test_bucket_labels_do_not_see_dates(grid, dates):
    assert bucket_label_p(grid + dates, seed=1) == bucket_label_p(grid, seed=1)


@pytest.mark.parametrize("dates", [3, 7])
def test_bucket_labels_hold_their_level(dates):
    rng = np.random.default_rng(9)
    grids = rng.normal(size=(300, 4, dates)) + rng.normal(size=(300, 1, dates))
    assert at_most(sum(bucket_label_p(g, seed=i, draws=499) <= 0.05 for i, g in enumerate(grids)), 300)


def test_platform_without_events_is_no_difference():
    assert platform_p(np.zeros((0, 3), bool), np.zeros((0, 3), bool), np.zeros(0, int), seed=1) == 1.0
    assert platform_p(np.zeros((5, 3), bool), np.ones((5, 3), bool), np.zeros(5, int), seed=1) == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx((0.03, 0.06, None, 0.06), nan_ok=True)
    assert holm([]) == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


@given(hy.lists(hy.floats(0, 1), min_size=1, max_size=8), hy.randoms())
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(ps, random):
    adjusted = holm(ps)
    for p, a in zip(ps, adjusted, strict=True):
        assert p <= a <= min(1.0, len(ps) * p)
    ranked = [a for _, a in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)
    shuffled = list(range(len(ps)))
    random.shuffle(shuffled)
    assert holm([ps[i] for i in shuffled]) == tuple(adjusted[i] for i in shuffled)


def test_tost_is_two_t_tests():
    d = np.random.default_rng(1).normal(0.002, 0.02, 30)
    se = d.std(ddof=1) / math.sqrt(30)
    found = tost(d.mean(), se, 29, 0.02)
    by_hand = [st.ttest_1samp(d, margin, alternative=side).pvalue for margin, side in ((-0.02, "greater"), (0.02, "less"))]  # fmt: skip # noqa: E501
    assert found.p == pytest.approx(max(by_hand))
    assert (found.low, found.high) == pytest.approx(st.ttest_1samp(d, 0).confidence_interval(0.90))
    assert found.verdict == "inside"


@given(hy.floats(-0.1, 0.1), hy.floats(1e-4, 0.1), hy.integers(1, 200), hy.floats(0.005, 0.05))
def test_tost_verdict_is_its_interval_and_its_p(estimate, se, df, delta):
    found = tost(estimate, se, df, delta)
    if abs(found.p - 0.05) > 1e-9:
        assert (found.verdict == "inside") == (found.p < 0.05)
    if found.verdict == "outside":
        assert min(abs(found.low), abs(found.high)) > delta
        assert abs(estimate) > delta


def test_tost_without_a_standard_error_and_at_infinite_df():
    for se, df in ((0.0, 9), (None, 9), (0.1, None), (0.1, 0)):
        assert tost(0.0, se, df, 0.02).verdict == "neither"
        assert tost(0.0, se, df, 0.02).p is None
    assert tost(0.0, 0.01, math.inf, 0.02).high == pytest.approx(0.01 * st.norm.ppf(0.95))
    assert tost(0.1, 0.01, 50, 0.02).verdict == "outside"
    with pytest.raises(ValueError, match="margin"):
        tost(0.0, 0.1, 9, 0.0)
