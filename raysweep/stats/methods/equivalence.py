"""Two one-sided tests (TOST), whether a difference is shown to lie within a margin (Schuirmann 1987)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy.stats import t

Verdict = Literal["inside", "outside", "neither"]


@dataclass(frozen=True, slots=True)
class Tost:
    """Result of a TOST; p, low and high are None without a standard error, and the verdict then "neither".

    p: the larger of the two one-sided p; low, high: the 1 - 2 alpha interval, which the verdict puts beside the margin.
    """

    p: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def tost(estimate: float, se: float | None, df: float | None, delta: float, *, alpha: float = 0.05) -> Tost:
    """TOST of |difference| < delta from an estimate with its standard error and degrees of freedom (inf: normal).

    estimate, se, delta in one unit. inside: the interval lies within (-delta, delta), which is the same as p < alpha;
    outside: it lies wholly beyond one of the two; neither: the data cannot tell. ValueError unless delta > 0 and
    0 < alpha < 0.5.
    """
    if not (delta > 0 and 0 < alpha < 0.5):
        raise ValueError("the margin must be positive and alpha between 0 and 0.5")
    if se is None or df is None or not (se > 0 and df > 0 and math.isfinite(se)):
        return Tost(None, None, None, "neither")
    p = max(float(t.sf((estimate + delta) / se, df)), float(t.cdf((estimate - delta) / se, df)))
    reach = float(t.ppf(1 - alpha, df)) * se
    low, high = estimate - reach, estimate + reach
    verdict: Verdict = "neither"
    if -delta < low and high < delta:
        verdict = "inside"
    elif low > delta or high < -delta:
        verdict = "outside"
    return Tost(p, low, high, verdict)
