"""Bias-corrected and accelerated (BCa) bootstrap intervals, of any statistic. Offered, not the default.

Source: Efron 1987, JASA 82:171; Efron & Tibshirani 1993, section 14.3, equations 14.9, 14.10 and 14.15. Where the
correction is undefined there is no interval, and a caution says what to use; never a nan.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from raysweep.stats.arrays import Floats
from raysweep.stats.finding import Caution
from raysweep.stats.methods.interval import NO_SPREAD, ONE_TASK, Draws, Interval, Ratio, ratio_draws, value_of

METHOD = "BCa bootstrap"
LEAST_TAIL = 5
"""Fewest draws beyond an end: further out the draws say nothing."""


def bca(draws: Floats, value: float, jackknife: Floats, level: float) -> Interval:
    """Interval of a statistic with estimate `value` from its bootstrap `draws` (R,) and its jackknife values (n,).

    jackknife: the statistic without each unit in turn. Draws equal to the estimate count half in the bias correction.
    """
    if len(jackknife) < 2:
        return Interval(None, None, METHOD, (ONE_TASK,))
    centred = float(np.mean(jackknife)) - jackknife
    spread, square = float(np.std(draws)), float(np.sum(centred**2))
    if not math.isfinite(value + spread + square):
        return _undefined("the statistic is undefined in some draws")
    near = 1e-9 * spread  # draws and estimate are summed in different orders: equal ones differ by rounding
    if spread <= 1e-12 * max(1.0, abs(value)) or math.sqrt(square) <= 1e-12 * max(1.0, abs(value)):
        return Interval(None, None, METHOD, (NO_SPREAD,))
    below = float(np.mean(draws < value - near) + 0.5 * np.mean(np.abs(draws - value) <= near))
    if not 0 < below < 1:
        return _undefined("all draws lie on one side of the estimate, so that its bias has no bound")
    bias, acceleration = float(ndtri(below)), float(np.sum(centred**3)) / (6 * square**1.5)
    probabilities = [_adjusted(bias, acceleration, float(ndtri(0.5 + s * level / 2))) for s in (-1, 1)]
    least = LEAST_TAIL / len(draws)
    if any(p is None or not least <= p <= 1 - least for p in probabilities):
        return _undefined("the correction reaches beyond the draws")
    low, high = np.quantile(draws, [p for p in probabilities if p is not None])
    return Interval(float(low), float(high), f"{METHOD} ({len(draws)} draws)")


def _adjusted(bias: float, acceleration: float, z: float) -> float | None:
    """Tail probability that the corrections make of the normal quantile z; None where the acceleration is too large."""
    divisor = 1 - acceleration * (bias + z)
    return float(ndtr(bias + (bias + z) / divisor)) if divisor > 0 else None


def _undefined(why: str) -> Interval:
    use = Caution("bca_undefined", why, "use the expanded percentile interval")
    return Interval(None, None, METHOD, (use,))


def tasks_bca(first: Ratio, second: Ratio | None, how: Draws) -> Interval:
    """BCa interval of first - second (or of first alone) over tasks like these; None as `bca` says."""
    jackknife = _without_each(first)
    if second is not None:
        jackknife = jackknife - _without_each(second)
    return bca(ratio_draws([(first, second)], how)[0], value_of((first, second)), jackknife, how.level)


def _without_each(r: Ratio) -> Floats:
    """The ratio without each task in use, (T',); nan where nothing is left."""
    num, den = float(r.num.sum()) - r.num[r.use], float(r.den.sum()) - r.den[r.use]
    return np.asarray(np.divide(num, den, out=np.full(len(num), np.nan), where=den > 0), dtype=np.float64)
