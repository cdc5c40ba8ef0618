"""Success given clean: the success of the trials that infrastructure did not end, of one arm and of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.finding import Caution
from raysweep.stats.findings.pair import Pair, is_binary, mean_ask, rare
from raysweep.stats.methods.interval import Ask, Interval, Ratio
from raysweep.stats.methods.rare import RARE_EVENTS, few_tasks, guarded_effect, newcombe


@dataclass(frozen=True, slots=True)
class Clean:
    """The clean trials of one arm: their rewards (n,), task means and counts; everything: no trial was unclean."""

    values: Floats
    means: Floats
    counts: Ints
    everything: bool

    @classmethod
    def of(cls, cube: Cube, column: int, rows: Bools) -> Clean:
        """Those of one column on the blocks `rows`."""
        use = rows & (cube.q[:, column] == 0)
        means, counts = cube.task_means(cube.y[:, column], use)
        every = bool(np.all(cube.q[rows & np.isfinite(cube.y[:, column]), column] == 0))
        return cls(cube.y[use, column], means[counts > 0], counts[counts > 0], every)

    @property
    def binary(self) -> bool:
        """All rewards are 0 or 1."""
        return is_binary(self.values)

    @property
    def rare(self) -> bool:
        """Too few passes or fails for a bootstrap."""
        return rare(self.values) or few_tasks(self.means)

    def rate(self) -> float:
        """Pooled success of the clean trials."""
        return float(self.values.mean())

    @property
    def effective(self) -> float:
        """Their effective number."""
        return len(self.values) / guarded_effect(self.means, self.counts, self.rate())


def clean_ratio(cube: Cube, column: int, rows: Bools) -> Ratio:
    """Success given clean of one arm on the blocks `rows` as a ratio of task means: sum(y of clean) / sum(clean)."""
    clean = 1.0 - cube.q[:, column]
    num, counts = cube.task_means(cube.y[:, column] * clean, rows)
    den, _ = cube.task_means(clean, rows)
    use = counts > 0
    return Ratio(np.where(use, num, 0.0), np.where(use, den, 0.0), use)


def clean_ask(cube: Cube, p: Pair, columns: tuple[int, int], ratios: Sequence[Ratio], level: float) -> Ask:
    """The contrast of a pair: a bootstrap of the two ratios, a score interval where events are rare."""
    first, second = ratios
    if first.value is None or second.value is None:
        why = Caution("no_clean_trials", "an arm has no trial that infrastructure did not end", "raise its limits")
        return Ask(None, Interval(None, None, "none: undefined", (why,)))
    value, sides = first.value - second.value, [Clean.of(cube, c, p.complete) for c in columns]
    if not all(s.binary for s in sides) or not any(s.rare for s in sides) or int(first.use.sum()) < 2:
        return Ask(value, asked=(first, second))
    if all(s.everything for s in sides):
        return mean_ask(p, level)  # nothing died: success given clean is success
    (p1, n1), (p2, n2) = ((s.rate(), s.effective) for s in sides)
    low, high = newcombe(p1, n1, p2, n2, level=level)
    shift = value - (p1 - p2)
    method = "Newcombe hybrid score, unpaired, with design effects"
    return Ask(value, Interval(low + shift, high + shift, method, few_clean(sides)))


def clean_blocks(cube: Cube, whole: Pair, columns: tuple[int, int], ratios: Sequence[Ratio]) -> Floats:
    """Linearised contrast of success given clean per block, (n,), nan outside complete blocks.

    The mean over tasks of its task means, on the blocks of the `ratios`, is the contrast itself.
    """
    found = np.zeros(len(cube.task))
    for column, r, sign in zip(columns, ratios, (1.0, -1.0), strict=True):
        clean, value = 1.0 - cube.q[:, column], r.value or 0.0
        share = float(np.mean(r.den[r.use])) if r.value is not None else 1.0
        found = found + sign * (value + (cube.y[:, column] - value) * clean / share)
    return np.where(whole.complete, found, np.nan)


def few_clean(sides: Sequence[Clean]) -> tuple[Caution, ...]:
    """A caution when an arm has hardly any clean trial."""
    least = min(len(s.values) for s in sides)
    if least >= RARE_EVENTS:
        return ()
    return (Caution("few_clean_trials", f"only {least} clean trials in an arm", "treat it as an anecdote"),)
