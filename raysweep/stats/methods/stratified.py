"""Tests of two rates within strata (tasks): Cochran-Mantel-Haenszel, and McNemar for one pair per task.

Belongs here: conditional tests of counts. Sources: Mantel & Haenszel 1959; Robins, Breslow & Greenland 1986 (variance
of the common odds ratio); Agresti 2013, sections 7.3.5 (exact conditional) and 11.1 (McNemar); Fagerland et al. 2013
(mid-p).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, chi2, hypergeom, norm

from raysweep.stats.arrays import Floats, Ints

EXACT_SUPPORT = 4_000
"""Up to this many possible totals the exact conditional p is computed; chi-square is indistinguishable beyond."""


@dataclass(frozen=True, slots=True)
class Stratified:
    """The CMH test of 2 x 2 tables, 1 degree of freedom.

    statistic, p_plain: without continuity correction; corrected, p_corrected: with it; p_exact: the conditional test
    (None where the tables are too large to need it); p: the one to report, exact else corrected, for chi-square takes
    four events that all fell into one group for p < 0.05, which chance does in 1 of 8 cases. odds_ratio: common
    Mantel-Haenszel odds ratio, first group against second, with its interval (None where it is 0, infinite or
    undefined). strata: how many can tell anything. All are None but p and p_exact = 1 without an informative stratum.
    """

    p: float | None
    p_exact: float | None
    statistic: float | None
    p_plain: float | None
    corrected: float | None
    p_corrected: float | None
    odds_ratio: float | None
    odds_low: float | None
    odds_high: float | None
    strata: int


def cmh(first: Ints, n_first: Ints, second: Ints, n_second: Ints, *, level: float = 0.95) -> Stratified:
    """CMH test that the event rates of two groups agree within each stratum.

    first, second: (S,) events; n_first, n_second: (S,) trials; events may not exceed trials (ValueError). A stratum
    without a trial in either group, without an event, or with events only, tells nothing and adds nothing. Without any
    trial in common p is None; with trials but no informative stratum p = 1.
    """
    if np.any(first > n_first) or np.any(second > n_second) or np.any(first < 0) or np.any(second < 0):
        raise ValueError("events must lie between 0 and the number of trials")
    both = (n_first > 0) & (n_second > 0)
    if not both.any():
        return Stratified(None, None, None, None, None, None, None, None, None, 0)
    total, events = n_first + n_second, first + second
    use = both & (events > 0) & (events < total)
    a, n1, n0, m, n = (x[use].astype(np.float64) for x in (first, n_first, n_second, events, total))
    if not use.any():
        return Stratified(1.0, 1.0, None, None, None, None, None, None, None, 0)
    delta = abs(float(np.sum(a - n1 * m / n)))
    variance = float(np.sum(n1 * n0 * m * (n - m) / (n**2 * (n - 1))))  # n > 1: both groups have a trial
    plain, corrected = delta**2 / variance, max(0.0, delta - 0.5) ** 2 / variance
    exact = _exact(first[use], n_first[use], events[use], total[use])
    p_corrected = float(chi2.sf(corrected, 1))
    odds = _odds(a, n1 - a, m - a, n0 - m + a, level)
    return Stratified(
        p_corrected if exact is None else exact, exact, plain, float(chi2.sf(plain, 1)), corrected, p_corrected,
        *odds, strata=int(use.sum()),
    )  # fmt: skip


def _exact(first: Ints, n_first: Ints, events: Ints, total: Ints) -> float | None:
    """Exact conditional two-sided p: probability of all totals no likelier than the one seen, given all margins."""
    lowest = np.maximum(0, events - (total - n_first))
    widths = np.minimum(events, n_first) - lowest + 1
    if int(widths.sum()) > EXACT_SUPPORT:
        return None
    starts = np.cumsum(widths) - widths
    k = np.arange(int(widths.sum())) - np.repeat(starts - lowest, widths)
    pmf = hypergeom.pmf(k, *(np.repeat(x, widths) for x in (total, events, n_first)))
    chance = np.ones(1)
    for part in np.split(np.asarray(pmf, dtype=np.float64), starts[1:]):
        chance = np.convolve(chance, part)
    seen = chance[int(np.sum(first - lowest))]
    return float(min(1.0, chance[chance <= seen * (1 + 1e-7)].sum() / chance.sum()))


def _odds(a: Floats, b: Floats, c: Floats, d: Floats, level: float) -> tuple[float | None, float | None, float | None]:
    """Common odds ratio of tables (a b / c d) with the Robins-Breslow-Greenland interval; None where it has none."""
    n = a + b + c + d
    r, s = a * d / n, b * c / n
    up, down = float(r.sum()), float(s.sum())
    if up <= 0 or down <= 0:
        return None, None, None
    p, q = (a + d) / n, (b + c) / n
    variance = float(np.sum(p * r)) / (2 * up**2) + float(np.sum(p * s + q * r)) / (2 * up * down)
    variance += float(np.sum(q * s)) / (2 * down**2)
    reach = math.exp(float(norm.ppf(0.5 + level / 2)) * math.sqrt(variance))
    return up / down, up / down / reach, up / down * reach


@dataclass(frozen=True, slots=True)
class McNemar:
    """p: exact binomial; p_mid: mid-p, closer to the nominal level but not bounded by it. Both 1 without discord."""

    p: float
    p_mid: float
    only_first: int
    only_second: int


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """McNemar's test of paired binary outcomes, two-sided: pairs with the event in one of the two only.

    The exact p is conservative and never above its level; the mid-p takes half the probability of the table seen.
    ValueError for negative counts.
    """
    if min(only_first, only_second) < 0:
        raise ValueError("counts of pairs cannot be negative")
    n, least = only_first + only_second, min(only_first, only_second)
    tail, point = float(binom.cdf(least, n, 0.5)), float(binom.pmf(least, n, 0.5))
    mid = 1.0 if only_first == only_second else 2 * tail - point
    return McNemar(min(1.0, 2 * tail), min(1.0, mid), only_first, only_second)
