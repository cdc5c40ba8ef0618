"""Looks at a study before its end: alpha spending, boundaries by recursive integration, crossing probabilities.

Everything is two-sided and symmetric. Statistics Z_j of looks j = 1..J have the canonical joint distribution: normal,
mean theta sqrt(I_j), variance 1, correlation sqrt(I_i / I_j) for i < j, where I_j = 1 / Var(estimate at look j).
Sources: Lan & DeMets 1983, Biometrika 70:659 (spending); Armitage, McPherson & Rowe 1969, JRSS A 132:235 (recursive
integration); Jennison & Turnbull 2000, chapters 7, 9 and 19 (unequal information, repeated intervals, quadrature).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm, t

from raysweep.stats.arrays import Floats

FAR = 8.5
"""Standard errors beyond which a normal has no mass that a double could hold beside 1; no boundary lies further out."""
NODES = 256
"""Gauss-Legendre nodes over the continuation region: two per standard deviation of the narrowest step (see GROWTH)."""
GROWTH = 1.01
"""Least ratio of the information of two looks. A smaller one would have more correlated looks than the grid resolves;
to count it as this much errs to the safe side, because less correlated looks need wider boundaries."""
NOTHING = 1e-12
"""An error that is not worth spending: its boundary (over 7.1) is infinite, the look cannot stop anything."""


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Two-sided error spent at an information fraction 0..1 (over 1 counts as 1), 4 - 4 Phi(z(alpha/4) / sqrt t).

    The spending function of O'Brien-Fleming type of Lan & DeMets, alpha / 2 on either side. ValueError for alpha
    outside (0, 1) or a negative fraction.
    """
    if not 0 < alpha < 1 or fraction < 0:
        raise ValueError("alpha must lie between 0 and 1, and a fraction cannot be negative")
    if fraction == 0:
        return 0.0
    return 4 * float(norm.sf(norm.isf(alpha / 4) / math.sqrt(min(1.0, fraction))))


def look_dates(dates: int, looks: int) -> tuple[int, ...]:
    """After how many complete dates each look comes, the last after all: evenly spread, rounded up.

    ValueError for more looks than dates.
    """
    if not 0 <= looks <= dates:
        raise ValueError("looks must lie between 0 and the number of dates")
    return tuple(-(-j * dates // looks) for j in range(1, looks + 1))


def rising(information: Sequence[float]) -> tuple[float, ...]:
    """Observed information made to rise by GROWTH at least: an estimated variance can be larger at a later look."""
    made: list[float] = []
    for value in information:
        made.append(max(value, made[-1] * GROWTH) if made else value)
    return tuple(made)


def boundaries(information: Sequence[float], spent: Sequence[float]) -> tuple[float, ...]:
    """|z| at which each look stops so that the error spent up to it is `spent` (cumulative, two-sided); inf = never.

    information: of each look, any unit, rising by at least GROWTH (`rising` sees to it); ValueError otherwise.
    """
    walk, before, found = Walk(), 0.0, []
    for info, total in zip(information, spent, strict=True):
        bound = walk.boundary(info, total - before)
        walk, before = walk.onward(info, bound), before if math.isinf(bound) else total
        found.append(bound)
    return tuple(found)


def crossing(information: Sequence[float], bounds: Sequence[float], effect: float = 0.0) -> tuple[float, ...]:
    """Probability that each look is the one at which |Z| first reaches its boundary, when the truth is `effect`.

    effect: in the unit in which information is 1 / variance. Their sum is the power (the error at effect 0).
    """
    walk, found = Walk(effect=effect), []
    for info, bound in zip(information, bounds, strict=True):
        found.append(walk.exit(info, bound))
        walk = walk.onward(info, bound)
    return tuple(found)


def repeated_interval(estimate: float, se: float, df: float, boundary: float) -> tuple[float, float] | None:
    """Repeated confidence interval: estimate +- se x the t quantile that has the boundary's tail; None at inf.

    All looks' intervals hold together at the level that the spending leaves, whatever made the study stop. The normal
    boundary is taken to t by its tail probability (Jennison & Turnbull 2000, section 3.8).
    """
    if math.isinf(boundary):
        return None
    reach = se * float(t.isf(norm.sf(boundary), df))
    return estimate - reach, estimate + reach


def nominal_level(boundary: float) -> float:
    """Level of an ordinary interval that is as wide as the repeated one: 2 Phi(boundary) - 1."""
    return 1 - 2 * float(norm.sf(boundary))


@cache
def _legendre() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return np.asarray(nodes), np.asarray(weights)


@dataclass(frozen=True, slots=True)
class Walk:
    """Where Z may be after a look without a stop: points z and their probability mass, (n,); before any look, at 0."""

    information: float = 0.0
    effect: float = 0.0
    z: Floats = field(default_factory=partial(np.zeros, 1))
    mass: Floats = field(default_factory=partial(np.ones, 1))

    def _step(self, information: float) -> tuple[Floats, float]:
        """Mean (n,) and standard deviation of Z at the next look, given each point."""
        if not information >= self.information * GROWTH or not 0 < information < math.inf:
            raise ValueError(f"the information of looks must rise by {GROWTH - 1:.0%} at least, and be finite")
        gain = information - self.information
        mean = self.z * math.sqrt(self.information / information) + self.effect * gain / math.sqrt(information)
        return mean, math.sqrt(gain / information)

    def exit(self, information: float, bound: float) -> float:
        """Probability that the next look has |Z| >= bound."""
        mean, sd = self._step(information)
        return float(self.mass @ (ndtr((mean - bound) / sd) + ndtr((-bound - mean) / sd)))

    def boundary(self, information: float, error: float) -> float:
        """The bound at which `exit` is `error`; inf where it is next to nothing."""
        if error <= NOTHING or self.exit(information, FAR) >= error:
            return math.inf
        if self.exit(information, 0.0) <= error:
            return 0.0  # all that is left may be spent
        return float(brentq(lambda c: self.exit(information, c) - error, 0.0, FAR, xtol=1e-12))

    def onward(self, information: float, bound: float) -> Walk:
        """What goes on after a look that stops at |Z| >= bound."""
        mean, sd = self._step(information)
        centre = self.effect * math.sqrt(information)
        low, high = max(-bound, centre - FAR), min(bound, centre + FAR)
        if low >= high:
            return Walk(information, self.effect, np.zeros(1), np.zeros(1))
        nodes, weights = _legendre()
        z = (low + high) / 2 + (high - low) / 2 * nodes
        density = np.exp(-0.5 * ((z[:, None] - mean) / sd) ** 2) @ self.mass / (sd * math.sqrt(2 * math.pi))
        return Walk(information, self.effect, z, density * weights * (high - low) / 2)


def schedule(dates: int, looks: int, alpha: float) -> Iterator[tuple[int, float]]:
    """(dates, |z| boundary) of each planned look when every date brings the same information: what a plan can print."""
    after = look_dates(dates, looks)
    spent = [obrien_fleming(n / dates, alpha) for n in after]
    return zip(after, boundaries(rising([float(n) for n in after]), spent), strict=True)
