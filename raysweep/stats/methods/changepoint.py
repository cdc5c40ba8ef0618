"""Where a higher limit stops helping against crashes and starts to admit new solutions: a change-point set.

f_m, the share of trials scored and failed at multiplier m, rises while doomed trials stop crashing (they fail instead)
and falls once new strategies succeed: the change point is its argmax. The set holds every multiplier that the data
cannot exclude from being it: a confidence set for the largest of several means (Hsu 1996, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Floats
from raysweep.stats.methods.simultaneous import max_t


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """peak: index of the largest f (the first of equals); members: ascending indices of the set; it holds the peak."""

    peak: int
    members: tuple[int, ...]


def change_point(means: Floats, draws: Floats, level: float, *, units: int | None = None) -> ChangePoint:
    """The change-point set {m: no simultaneous lower bound of f_m' - f_m over all m' exceeds 0}, at `level`.

    means: f, (M,); draws: joint bootstrap draws of it, (R, M). The bounds are max-t over the m' of one m: the set then
    holds the true argmax with probability `level`, whichever it is; bounds over all pairs at once hold it more often
    than stated and shrink the set to one value far more rarely. units: resampled units (tasks), to expand the bounds
    for few of them. A difference whose draws have no spread excludes nothing.
    """
    members = []
    for m in range(len(means)):
        others = np.arange(len(means)) != m
        rivals = draws[:, others] - draws[:, m, None]
        bounds = max_t(means[others] - means[m], rivals, level, one_sided=True, units=units) if others.any() else None
        if bounds is None or not np.any(bounds.low[bounds.used] > 0):
            members.append(m)
    return ChangePoint(int(np.argmax(means)), tuple(members))
