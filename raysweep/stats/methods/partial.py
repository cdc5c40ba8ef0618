"""Confidence intervals for a quantity of which data give bounds, not a value.

Sources: Imbens & Manski 2004, Econometrica 72:1845 (an interval for the quantity, not for the whole set); Stoye 2009,
Econometrica 77:1299 (the ends' errors are correlated; the larger standard error is on the safe side).
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri


def critical(width: float, se: float, level: float) -> float:
    """Standard errors c beyond either bound, Phi(c + width / se) - Phi(-c) = level.

    Where the bounds lie far apart the quantity is near one of them at most, and one side's error is spent (1.645 at
    95 %); where they are one value it is the ordinary two-sided c (1.96). se: the larger of the two ends'.
    """
    most, least = float(ndtri(0.5 + level / 2)), float(ndtri(level))
    if se <= 0:
        return most
    apart = max(0.0, width) / se
    if not math.isfinite(apart) or apart > 40:
        return least
    return float(brentq(lambda c: ndtr(c + apart) - ndtr(-c) - level, least - 1e-9, most + 1e-9))


def level_of(c: float) -> float:
    """Level of the two-sided interval that reaches c standard errors to either side."""
    return float(2 * ndtr(c) - 1)
