"""From counts to a judgement: Monte Carlo intervals, targets, and the words of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from benchmarks.coverage.cell import Score

Floats = npt.NDArray[np.float64]
MOST = 2.0
"""Contrasts of fractions lie within -1..1."""


@dataclass(frozen=True)
class Target:
    """The share that a method must reach: low to high (fractions)."""

    low: float
    high: float = 1.0

    def verdict(self, hits: int, of: int) -> str:
        """Holds, or "too low" / "too high" where the 99 % Monte Carlo interval lies wholly outside the target."""
        least, most = monte_carlo(hits, of)
        return "too low" if most < self.low else "too high" if least > self.high else "holds"

    def __str__(self) -> str:
        if self.high >= 1:
            return f">= {100 * self.low:g} %"
        return f"<= {100 * self.high:g} %" if self.low <= 0 else f"{100 * self.low:g}-{100 * self.high:g} %"


def monte_carlo(hits: int, of: int, level: float = 0.99) -> tuple[float, float]:
    """Clopper-Pearson interval of the share hits / of."""
    a = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(a, hits, of - hits + 1))
    high = 1.0 if hits == of else float(beta.isf(a, hits + 1, of - hits))
    return low, high


def covered(low: Floats, high: Floats, truth: Floats | float) -> Score:
    """Score of an interval method; low and high (S,) are nan where it gave none.

    unbounded: intervals wider than MOST, which no contrast can reach; the mean width is over the others.
    """
    given = ~(np.isnan(low) | np.isnan(high))
    with np.errstate(invalid="ignore"):
        below, above, width = truth < low, truth > high, high - low
    finite = given & (width <= MOST)
    return {
        "studies": len(low),
        "given": int(given.sum()),
        "covered": int((given & ~below & ~above).sum()),
        "truth_below": int((given & below).sum()),
        "truth_above": int((given & above).sum()),
        "unbounded": int((given & ~finite).sum()),
        "width": float(width[finite].mean()) if finite.any() else None,
    }


def merged(parts: Sequence[Score]) -> Score:
    """One score of several chunks: counts are added, widths averaged over the finite intervals."""
    total: Score = {k: sum(p[k] for p in parts) for k in parts[0] if isinstance(parts[0][k], int)}
    if "width" in parts[0]:
        known = [(p["width"], p["given"] - p["unbounded"]) for p in parts if p["width"] is not None]
        total["width"] = sum(w * n for w, n in known) / sum(n for _, n in known) if known else None
    return total


def percent(hits: int, of: int) -> str:
    """A share as "95.1"."""
    return f"{100 * hits / of:.1f}" if of else "-"


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)
