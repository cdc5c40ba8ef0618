"""Simultaneous bands: intervals of several estimates that hold together, from the draws that all of them share.

Sources: Efron & Tibshirani 1993 for the draws; Westfall & Young 1993 and Mandel & Betensky 2008 for the maximum of
studentised deviations; Hesterberg 2015 for the expansion with few units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from raysweep.stats.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Bands:
    """low, high: (C,), nan where a column's draws have no spread (not `used`) and so nothing can be said.

    One-sided bands have high = inf. critical: the quantile of the maximum deviation, in standard errors, None when no
    column could be used.
    """

    low: Floats
    high: Floats
    used: Bools
    critical: float | None


def expanded(critical: float, units: int) -> float:
    """A critical value of bootstrap deviations, expanded for `units` resampled units (Hesterberg 2015, section 4.2).

    sqrt(n / (n - 1)) for the variance of a resample, the t quantile of the same tail for the estimated spread.
    """
    return math.sqrt(units / (units - 1)) * float(t.isf(norm.sf(critical), units - 1))


def max_t(values: Floats, draws: Floats, level: float, *, one_sided: bool = False, units: int | None = None) -> Bands:
    """Max-t bands of estimates `values` (C,) from their joint bootstrap `draws` (R, C), simultaneous at `level`.

    Each column is studentised by the standard deviation of its draws; one_sided gives lower bounds only. units: the
    number of resampled units, to expand the band for few of them (at least 2; None: as the draws are). A column whose
    draws have no spread is left out of the maximum.
    """
    spread = draws.std(axis=0)
    used = spread > 1e-12 * np.maximum(1.0, np.abs(values))
    low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    if not used.any():
        return Bands(low, high, used, None)
    deviations = (draws[:, used] - values[used]) / spread[used]
    largest = (deviations if one_sided else np.abs(deviations)).max(axis=1)
    critical = float(np.quantile(largest, level))
    if units is not None:
        critical = expanded(critical, units)
    low[used] = values[used] - critical * spread[used]
    high[used] = np.inf if one_sided else values[used] + critical * spread[used]
    return Bands(low, high, used, critical)
