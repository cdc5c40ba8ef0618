"""The studentised bootstrap (bootstrap t) over tasks, for means, ratios and their contrasts. Offered, not the default.

Source: Efron & Tibshirani 1993, section 12.5, with the linearised standard error within each draw. A draw without
spread sends the interval to infinity: then there is none, and a caution says what to use.
"""

from __future__ import annotations

import numpy as np

from raysweep.stats.arrays import Floats
from raysweep.stats.finding import Caution
from raysweep.stats.methods.draws import tails
from raysweep.stats.methods.interval import (
    NO_SPREAD,
    ONE_TASK,
    SAME,
    Draws,
    Interval,
    Ratio,
    linearised,
    standard_error,
    value_of,
)

METHOD = "studentised bootstrap"
LEAST_SPREAD = 1e-3
"""A draw whose standard error is below this share of the data's has no spread but rounding."""


def studentised(first: Ratio, second: Ratio | None, how: Draws) -> Interval:
    """Interval of first - second (or of first alone) over tasks like these, from (draw - estimate) / s.e. of the draw.

    None without spread in the data, or where any draw has no spread or no denominator.
    """
    values = linearised((first, second))
    n = len(values)
    if n < 2:
        return Interval(None, None, METHOD, (ONE_TASK,))
    se = standard_error(values)
    if se <= SAME:
        return Interval(None, None, METHOD, (NO_SPREAD,))
    moved, spread = _draws(first, second, how, n)
    flat = int(np.sum(~(spread > LEAST_SPREAD * se)))
    if flat:
        text = f"{flat} of {len(spread)} draws have no spread, so that the interval would have no end"
        use = Caution("studentised_undefined", text, "use the expanded percentile interval, or add tasks or repeats")
        return Interval(None, None, METHOD, (use,))
    low, high = tails((moved / spread)[None, :], 0.5 - how.level / 2)
    centre = value_of((first, second))
    return Interval(centre - float(high[0]) * se, centre - float(low[0]) * se, f"{METHOD} ({len(spread)} draws)")


def _draws(first: Ratio, second: Ratio | None, how: Draws, n: int) -> tuple[Floats, Floats]:
    """(R,) deviations of the draws from the estimate, and standard errors within the draws (nan: no denominator).

    The linearised value of a task in a draw is z . c with z its num and den of each side (num centred at the estimate)
    and c from the draw's sums; the sum of their squares is c' S c with S the draw's sums of the products of z.
    """
    sides = [r for r in (first, second) if r is not None]
    z = np.stack([column for r in sides for column in (r.num - (r.value or 0.0) * r.den, r.den)], axis=1)
    i, j = np.triu_indices(z.shape[1])
    sums = how.sums_by_column(np.hstack([z, z[:, i] * z[:, j]]))
    moved, c = np.zeros(sums.shape[1]), np.empty((z.shape[1], sums.shape[1]))
    for side, sign in zip(range(len(sides)), (1.0, -1.0), strict=False):
        num, den = sums[2 * side], np.where(sums[2 * side + 1] > 0, sums[2 * side + 1], np.nan)
        moved += sign * num / den
        c[2 * side], c[2 * side + 1] = sign / den, -sign * num / den**2
    squares = np.einsum("pr,pr->r", c[i] * c[j] * np.where(i == j, 1.0, 2.0)[:, None], sums[z.shape[1] :])
    return moved, np.sqrt(np.maximum(squares, 0.0) * n / (n - 1))
