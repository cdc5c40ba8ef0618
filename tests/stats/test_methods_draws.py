"""The draw engine: the same bits everywhere, exact sums, quantiles of many columns at once, memory of a chunk."""

from __future__ import annotations

import math
import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raysweep.stats.methods import interval
from raysweep.stats.methods.draws import CHUNK, chunks, column_sums, on_grid, tails
from raysweep.stats.methods.interval import Draws, Ratio, expanded_percentile, fmean, mean_ratio, ratio_draws, settle
from raysweep.stats.methods.tasksfixed import block_draws

VALUES = np.random.default_rng(1).normal(0.1, 0.4, (89, 7))


def test_the_same_bits_on_one_worker_or_many():
    alone = Draws(seed=9, replicates=4 * CHUNK, level=0.95).sums(VALUES)
    with ThreadPoolExecutor(4) as pool:
        threads = Draws(seed=9, replicates=4 * CHUNK, level=0.95, map=pool.map).sums(VALUES)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        processes = Draws(seed=9, replicates=4 * CHUNK, level=0.95, map=pool.map).sums(VALUES)
        task = np.repeat(np.arange(10), 3)
        blocks = block_draws(VALUES[:30], task, seed=9, draws=1000, map=pool.map)
    assert np.array_equal(alone, threads)
    assert np.array_equal(alone, processes)
    assert np.array_equal(blocks, block_draws(VALUES[:30], task, seed=9, draws=1000))


def test_another_seed_gives_other_draws_and_more_draws_keep_the_first():
    few, more, other = (list(chunks(13, seed=s, draws=n * CHUNK)) for s, n in ((9, 2), (9, 3), (10, 2)))
    assert all(np.array_equal(a, b) for a, b in zip(few, more, strict=False))
    assert not np.array_equal(few[0], few[1])
    assert not np.array_equal(few[0], other[0])


@pytest.mark.parametrize("tasks", [1, 2, 20, 89, 255, 300])
def test_counts_are_multinomial(tasks):
    w = np.concatenate(list(chunks(tasks, seed=3, draws=4000))).astype(float)
    assert (w.sum(axis=1) == tasks).all()
    assert w.mean(axis=0) == pytest.approx(1.0, abs=5 / math.sqrt(4000))
    variance = 1 - 1 / tasks
    assert w.var(axis=0).mean() == pytest.approx(variance, rel=0.05, abs=1e-12)


def exact(w, column):
    return [math.fsum(a) for a in w.astype(float) * column]


def test_sums_are_those_of_exact_arithmetic_so_no_blas_can_change_a_bit():
    """fsum is exact: sums that equal it to the bit depend on no order, thread, block or fused multiply-add."""
    w, grid = np.concatenate(list(chunks(89, seed=2, draws=2 * CHUNK))), on_grid(VALUES, 89)
    how = Draws(seed=2, replicates=2 * CHUNK, level=0.95)
    found = how.sums(VALUES)
    for c in range(VALUES.shape[1]):
        assert found[:, c].tolist() == exact(w, grid[:, c])
    assert np.array_equal(how.sums(VALUES[:, [4]])[:, 0], found[:, 4])
    assert np.array_equal(how.sums(VALUES[:, ::-1]), found[:, ::-1])


def test_deep_products_are_exact_too():
    """More tasks than one block of the product is deep."""
    values = np.random.default_rng(2).normal(0, 1, (700, 3))
    (chunk,) = chunks(700, seed=2, draws=CHUNK)
    found, grid = column_sums([chunk], values, CHUNK), on_grid(values, 700)
    assert found[1, :20].tolist() == exact(chunk[:20], grid[:, 1])


@given(
    hnp.arrays(np.float64, (11, 3), elements=st.floats(-1e6, 1e6)),
    st.sampled_from([1e-12, 1e-3, 1.0, 1e9]),
)
@settings(max_examples=40, deadline=None)
def test_the_grid_is_fine_and_keeps_signs(values, scale):
    values = values * scale
    grid = on_grid(values, 11)
    assert (np.abs(grid - values) <= np.abs(values).max(axis=0) * 2.0**-49).all()
    assert np.array_equal(on_grid(-values, 11), -grid)
    assert np.array_equal(on_grid(grid, 11), grid)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 60)), elements=st.integers(-5, 5).map(float)),
    st.floats(0.001, 0.499),
)
@settings(max_examples=60, deadline=None)
def test_tails_are_numpys_quantiles_and_mirror_exactly(values, probability):
    low, high = tails(values.copy(), probability)
    assert low == pytest.approx(np.quantile(values, probability, axis=1), abs=1e-9)
    assert high == pytest.approx(np.quantile(values, 1 - probability, axis=1), abs=1e-9)
    mirrored = tails(-values, probability)
    assert np.array_equal(mirrored[0], -high)
    assert np.array_equal(mirrored[1], -low)


def test_all_columns_at_once_are_the_columns_one_by_one():
    how = Draws(seed=1, replicates=2000, level=0.95)
    low, high = how.intervals(VALUES)
    sums = how.sums(VALUES)
    for c in range(VALUES.shape[1]):
        assert (low[c], high[c]) == pytest.approx(expanded_percentile(sums[:, c] / 89, 89, 0.95), abs=1e-15)
        assert low[c] < fmean(VALUES[:, c]) < high[c]


def test_a_batch_of_contrasts_is_the_contrasts_one_by_one():
    how = Draws(seed=1, replicates=2000, level=0.95)
    rng = np.random.default_rng(3)
    missing = VALUES[:, 0].copy()
    missing[:4] = np.nan
    everyone = np.ones(89, dtype=bool)
    ratios = [Ratio(rng.random(89), 1 + rng.random(89), everyone) for _ in range(2)]
    asked = [(mean_ratio(VALUES[:, 1]), None), (mean_ratio(missing), None), (ratios[0], ratios[1]), (ratios[0], None)]
    together = interval.tasks_sampled_all(asked, how)
    assert together == [interval.tasks_sampled(*a, how) for a in asked]
    drawn = ratio_draws(asked, how)
    assert drawn[2] == pytest.approx(drawn[3] - ratio_draws([(ratios[1], None)], how)[0])
    known = interval.Interval(0.0, 1.0, "known")
    asks = [interval.Ask(0.5, known), interval.Ask(0.1, asked=asked[0]), interval.Ask(None)]
    assert settle(asks, how) == [(0.5, known), (0.1, together[0]), (None, interval.Interval(None, None, "none"))]


def test_a_draw_without_a_denominator_leaves_the_linearised_t():
    den = np.zeros(30)
    den[:2] = 1.0
    ratio = Ratio(np.where(den > 0, [0.2, 0.6] * 15, 0.0), den, np.ones(30, dtype=bool))
    how = Draws(seed=1, replicates=2000, level=0.95)
    assert np.isnan(ratio_draws([(ratio, None)], how)).all()
    assert interval.tasks_sampled(ratio, None, how).method == "t over tasks (29 df)"


def test_a_large_matrix_is_not_kept_and_changes_nothing(monkeypatch):
    kept = Draws(seed=4, replicates=1000, level=0.95)
    before = kept.sums(VALUES), kept.sums(VALUES)
    monkeypatch.setattr(interval, "KEPT_BYTES", 0)
    anew = Draws(seed=4, replicates=1000, level=0.95)
    assert np.array_equal(before[0], before[1])
    assert np.array_equal(anew.sums(VALUES), before[0])
    assert np.array_equal(anew.sums(VALUES), before[0])
    assert not anew._kept


def test_memory_is_that_of_a_chunk_and_of_the_replicates_asked_for():
    tasks, columns, number = 2000, np.zeros((2000, 4)), 12 * CHUNK
    chunk_bytes = CHUNK * tasks * 8
    tracemalloc.start()
    try:
        column_sums(chunks(tasks, seed=1, draws=number), columns, number)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4.5 * chunk_bytes + number * columns.shape[1] * 8  # all of W as floats would be 12 chunks
