"""Tasks fixed: the closed form, the bootstrap of K - 1 of K blocks, and cells with one block a task."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats as st

from raysweep.stats.methods.interval import tasks_fixed
from raysweep.stats.methods.tasksfixed import block_counts, block_draws, blocks_bootstrap, blocks_fixed


def test_tasks_fixed_with_unequal_blocks():
    """s.e.^2 = sum of s_t^2 / K_t / T^2, df = (sum v)^2 / sum(v^2 / (K + 1)); a single block borrows the mean s^2."""
    means, variances, counts = np.array([0.1, 0.2, 0.6]), np.array([0.2, 0.1, np.nan]), np.array([2, 5, 1])
    found = tasks_fixed(means, variances, counts, 0.9)
    v = np.array([0.2 * (1 / 2 + 1 / 2), 0.1 * (1 / 5 + 1 / 2)])
    df = v.sum() ** 2 / (v**2 / np.array([3, 6])).sum()
    assert found.high - 0.3 == pytest.approx(st.t.ppf(0.95, df) * math.sqrt(v.sum()) / 3)
    assert [c.code for c in found.cautions] == ["borrowed"]


def test_block_weights_take_all_but_one_of_each_tasks_blocks():
    sizes = (3, 1, 5, 3)
    w = block_counts(sizes, 400, np.random.SeedSequence(1))
    ends = np.cumsum((0, *sizes))
    for (start, end), k in zip(itertools.pairwise(ends), sizes, strict=True):
        assert (w[:, start:end].sum(axis=1) == max(1, k - 1)).all()
        assert w[:, start:end].mean(axis=0) == pytest.approx(max(1, k - 1) / k, abs=0.2)
    assert not np.array_equal(w[:, 0:3], w[:, 9:12])


def test_the_block_bootstrap_has_the_closed_forms_error_and_resamples_jointly():
    rng = np.random.default_rng(3)
    task = rng.permutation(np.repeat(np.arange(15), np.arange(15) % 4 + 2))
    values = rng.normal(0, 1, len(task)) * (1 + task / 5)
    draws = block_draws(np.stack([values, values + 0.5, -values], axis=1), task, seed=2, draws=20_000)
    k = np.bincount(task)
    closed = math.sqrt(sum(values[task == t].var(ddof=1) / k[t] for t in range(15))) / 15
    assert draws[0].std() == pytest.approx(closed, rel=4 / math.sqrt(2 * draws.shape[1]))
    assert draws[0].mean() == pytest.approx(np.mean([values[task == t].mean() for t in range(15)]), abs=0.02)
    assert draws[1] == pytest.approx(draws[0] + 0.5)
    assert np.array_equal(draws[2], -draws[0])


def test_the_block_bootstrap_keeps_ratios():
    """Weights are never negative, so a ratio of counts stays within 0..1."""
    rng = np.random.default_rng(5)
    task = np.repeat(np.arange(20), 2)
    clean = (rng.random(40) < 0.5).astype(float)
    passed, whole = block_draws(np.stack([clean * (rng.random(40) < 0.5), clean], axis=1), task, seed=1, draws=2000)
    assert (passed >= 0).all()
    assert (passed <= whole + 1e-12).all()


def test_blocks_bootstrap_beside_the_closed_form():
    rng = np.random.default_rng(8)
    task = np.repeat(np.arange(30), 6)
    values = rng.normal(task / 30, 0.5)
    found = blocks_bootstrap(values, task, 0.95, seed=1, draws=10_000)
    closed = blocks_fixed(values, task, np.zeros(180, dtype=int), np.ones(180, dtype=bool), 0.95)
    assert (found.low, found.high) == pytest.approx((closed.low, closed.high), abs=0.015)
    single = blocks_bootstrap(np.arange(5.0), np.arange(5), 0.95, seed=1, draws=500)
    assert single.low is None
    assert single.cautions[0].code == "no_spread"


def cells(repeats, bucket_effect, seed=4):
    """20 tasks, 3 buckets: values, task, bucket and the mask of the first bucket."""
    rng = np.random.default_rng(seed)
    task, bucket = np.repeat(np.arange(20), 3 * repeats), np.tile(np.repeat(np.arange(3), repeats), 20)
    values = rng.normal(0, 1, len(task)) + bucket_effect * bucket
    return values, task, bucket, bucket == 0


def test_one_block_in_a_cell_takes_its_noise_from_all_buckets_and_says_so():
    values, task, bucket, first = cells(1, 0.0)
    found = blocks_fixed(values, task, bucket, first, 0.95)
    pooled = np.array([values[task == t].var(ddof=1) for t in range(20)])
    expected = tasks_fixed(values[first], pooled, np.ones(20, dtype=int), 0.95, np.full(20, 3))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert [c.code for c in found.cautions] == ["buckets_pooled"]
    shifted = blocks_fixed(values + 2 * bucket, task, bucket, first, 0.95)
    assert shifted.high - shifted.low > found.high - found.low  # conservative: buckets that differ widen it


def test_all_buckets_with_one_block_each_say_that_they_are_pooled():
    values, task, bucket, _ = cells(1, 0.0)
    everywhere = np.ones(len(values), dtype=bool)
    assert [c.code for c in blocks_fixed(values, task, bucket, everywhere, 0.95).cautions] == ["buckets_pooled"]
    more, task, bucket, first = cells(2, 0.0)
    assert blocks_fixed(more, task, bucket, np.ones(len(more), dtype=bool), 0.95).cautions == ()
    assert blocks_fixed(more, task, bucket, first, 0.95).cautions == ()


def test_one_block_and_one_bucket_have_no_noise_to_see():
    found = blocks_fixed(np.arange(6.0), np.arange(6), np.zeros(6, dtype=int), np.ones(6, dtype=bool), 0.95)
    assert found.low is None
    assert [c.code for c in found.cautions] == ["one_block"]
    nothing = blocks_fixed(np.full(6, np.nan), np.arange(6), np.zeros(6, dtype=int), np.ones(6, dtype=bool), 0.95)
    assert nothing.method == "none: no complete block"
