"""Interval methods over many studies at once, those the product does not use among them (to show what they do).

values: (S, T) task contrasts; w: (R, T) counts of a draw of tasks, one matrix for all studies of a chunk. An interval
is (low, high), each (S,), nan where the method gives none. Sources: Efron 1987 (BCa), Hesterberg 2015 (expanded
percentile), Efron & Tibshirani 1993 ch. 12 (studentised).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy.stats import norm, t

from benchmarks.coverage.judge import Floats

Pair: TypeAlias = tuple[Floats, Floats]
LEVEL = 0.95
TAIL = (1 - LEVEL) / 2


def quantiles(ordered: Floats, probability: Floats | float) -> Floats:
    """Linear-interpolation quantile of each row of `ordered` (S, R), at one probability or one per row; nan stays."""
    rows, draws = ordered.shape
    p = np.broadcast_to(np.asarray(probability, dtype=np.float64), (rows,))
    place = np.where(np.isnan(p), 0.0, np.clip(p, 0, 1)) * (draws - 1)
    lower = np.floor(place).astype(np.int64)
    upper = np.minimum(lower + 1, draws - 1)
    index = np.arange(rows)
    a, b = ordered[index, lower], ordered[index, upper]
    part = place - lower
    with np.errstate(invalid="ignore"):  # inf - inf where a studentised draw has no spread
        return np.where(np.isnan(p), np.nan, np.where(part == 0, a, a + (b - a) * part))


def paired_t(values: Floats) -> Pair:
    """Student t on task contrasts; none without spread."""
    n = values.shape[1]
    se = values.std(axis=1, ddof=1) / np.sqrt(n)
    reach = np.where(se > 1e-12, t.ppf(1 - TAIL, n - 1) * se, np.nan)
    return values.mean(axis=1) - reach, values.mean(axis=1) + reach


def from_draws(values: Floats, w: Floats) -> dict[str, Pair]:
    """Percentile, expanded percentile, studentised and BCa from the same draws of tasks."""
    n = values.shape[1]
    means = values @ w.T / n
    squares = (values**2) @ w.T / n
    se = np.sqrt(np.maximum(squares - means**2, 0.0) / (n - 1))
    found = {"studentised": _studentised(values, means, np.where(se > 1e-9, se, 0.0))}
    means.sort(axis=1)
    found["percentile"] = (quantiles(means, TAIL), quantiles(means, 1 - TAIL))
    wide = float(norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(TAIL, n - 1)))
    found["expanded percentile"] = (quantiles(means, wide), quantiles(means, 1 - wide))
    low, high = _bca_probabilities(values, means)
    found["BCa"] = (quantiles(means, low), quantiles(means, high))
    return found


def _studentised(values: Floats, means: Floats, se: Floats) -> Pair:
    """Bootstrap t without any guard: a draw without spread sends the interval to infinity; none without spread."""
    centre, n = values.mean(axis=1), values.shape[1]
    own = values.std(axis=1, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (means - centre[:, None]) / se
    ratio[np.isnan(ratio)] = 0.0  # 0 / 0: the draw's mean is the centre itself
    ratio.sort(axis=1)
    low = centre - quantiles(ratio, 1 - TAIL) * own
    high = centre - quantiles(ratio, TAIL) * own
    none = own <= 1e-12
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def _bca_probabilities(values: Floats, ordered: Floats) -> Pair:
    """Tail probabilities: bias correction (ties count half), the jackknife's acceleration; nan without spread."""
    centred = values - values.mean(axis=1, keepdims=True)
    square = (centred**2).sum(axis=1)
    bias = ordered - values.mean(axis=1, keepdims=True)
    share = ((bias < -1e-12).sum(axis=1) + 0.5 * (np.abs(bias) <= 1e-12).sum(axis=1)) / ordered.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = (centred**3).sum(axis=1) / (6 * square**1.5)  # of the mean: jackknife values are linear in it
        z0 = norm.ppf(share)
        ends = [norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z))) for z in (norm.ppf(TAIL), norm.ppf(1 - TAIL))]
    none = (square <= 1e-18) | ~np.isfinite(z0)
    return np.where(none, np.nan, ends[0]), np.where(none, np.nan, ends[1])


def percentile(values: Floats, w: Floats, scale: float) -> Pair:
    """Percentile interval of values @ w.T / scale; values (S, N), w (R, N)."""
    draws = values @ w.T / scale
    draws.sort(axis=1)
    return quantiles(draws, TAIL), quantiles(draws, 1 - TAIL)


def task_counts(rng: np.random.Generator, draws: int, tasks: int) -> Floats:
    """(R, T): how often each task is in a draw of T tasks."""
    return _counted(rng.integers(0, tasks, (draws, tasks)), tasks)


def both_level_counts(rng: np.random.Generator, draws: int, tasks: int, blocks: int) -> Floats:
    """(R, T K): tasks drawn, then blocks drawn anew within each drawn task."""
    task = rng.integers(0, tasks, (draws, tasks))
    block = rng.integers(0, blocks, (draws, tasks, blocks))
    return _counted((task[..., None] * blocks + block).reshape(draws, -1), tasks * blocks)


def block_weights(rng: np.random.Generator, draws: int, tasks: int, blocks: int, taken: int) -> Floats:
    """(R, T K): within every task `taken` of K blocks drawn with replacement, weighted to sum to K."""
    block = rng.integers(0, blocks, (draws, tasks, taken)) + np.arange(tasks)[None, :, None] * blocks
    return _counted(block.reshape(draws, -1), tasks * blocks) * (blocks / taken)


def _counted(index: np.ndarray, width: int) -> Floats:
    draws = index.shape[0]
    flat = (index + np.arange(draws)[:, None] * width).ravel()
    return np.bincount(flat, minlength=draws * width).reshape(draws, width).astype(np.float64)
