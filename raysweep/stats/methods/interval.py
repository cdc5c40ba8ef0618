"""Intervals for means and ratios of task values: tasks sampled (bootstrap or t) and tasks fixed (closed form).

Belongs here: Interval, the shared draws of an analysis, and the methods that an analysis uses by default. The others
are `studentised`, `bca` and `tasksfixed`. Sources: Hesterberg 2015, Am Stat 69:371 (expanded percentile); Satterthwaite
1946; Miller 2024 (paired s.e.).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr, stdtrit

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.finding import Caution
from raysweep.stats.methods.draws import CHUNK, Counts, Map, chunks, column_sums, tails, whole

FEW_TASKS = 20
"""Below this many tasks the t interval is used: the percentile intervals cover too little there."""
KEPT_BYTES = 32 * 2**20
"""Largest W that is kept between calls (10,000 draws of 3,000 tasks); a larger one is drawn anew, chunk by chunk."""
SAME = 1e-12
"""Standard errors of fractions below this are the rounding of equal values."""


@dataclass(frozen=True, slots=True)
class Interval:
    """low and high are None where no interval can be given; then `cautions` says why and what to do."""

    low: float | None
    high: float | None
    method: str
    cautions: tuple[Caution, ...] = ()


def hull(first: Interval, second: Interval) -> Interval:
    """The shortest interval that holds both, by the method of the first; the first where the second has no ends."""
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return first
    low, high = min(first.low, second.low), max(first.high, second.high)
    if (low, high) == (first.low, first.high):
        return first
    method = f"{first.method}, widened to hold {second.method}"
    return Interval(low, high, method, tuple(dict.fromkeys((*first.cautions, *second.cautions))))


ONE_TASK = Caution(
    "one_task",
    "one task cannot tell what other tasks would do",
    "add tasks; the interval with tasks fixed tells about this one",
)
NO_SPREAD = Caution(
    "no_spread",
    "every task gave the same value, so its spread cannot be estimated from these data",
    "add tasks or repeats",
)


@dataclass(frozen=True, slots=True)
class Draws:
    """How tasks are resampled: shared by every estimand of one analysis. replicates is rounded up to whole chunks."""

    seed: int
    replicates: int
    level: float
    map: Map = map
    _kept: dict[int, list[Counts]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def total(self) -> int:
        """Number of draws made, R."""
        return whole(self.replicates) * CHUNK

    def sums(self, columns: Floats) -> Floats:
        """Task sums of `columns` (T, C), finite, under every draw: (R, C)."""
        return self.sums_by_column(columns).T

    def sums_by_column(self, columns: Floats) -> Floats:
        """The same as (C, R), contiguous by column."""
        return column_sums(self._chunks(len(columns)), columns, self.total)

    def intervals(self, columns: Floats) -> tuple[Floats, Floats]:
        """Expanded percentile intervals of the means of `columns` (T, C), finite: low (C,) and high (C,); T > 1."""
        low, high = tails(self.sums_by_column(columns), expanded_probability(len(columns), self.level))
        return low / len(columns), high / len(columns)

    def _chunks(self, tasks: int) -> Iterable[Counts]:
        if tasks in self._kept:
            return self._kept[tasks]
        made = chunks(tasks, seed=self.seed, draws=self.replicates, map=self.map)
        if self.total * tasks * np.min_scalar_type(tasks).itemsize > KEPT_BYTES:
            return made
        return self._kept.setdefault(tasks, list(made))


def fmean(values: Floats) -> float:
    """Mean that does not depend on the order of the values (exact sum, rounded once)."""
    return math.fsum(values.tolist()) / len(values)


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(df, probability))


def standard_error(values: Floats) -> float:
    """Of the mean of values (n,), n > 1, from their spread."""
    centred = values - values.sum() / len(values)
    return math.sqrt(float(centred @ centred) / (len(values) * (len(values) - 1)))


def t_interval(values: Floats, level: float) -> Interval:
    """Student t on task values, (T,): the paired t when they are contrasts."""
    n = len(values)
    if n < 2:
        return Interval(None, None, "t over tasks", (ONE_TASK,))
    se = standard_error(values)
    if se <= SAME:
        return Interval(None, None, "t over tasks", (NO_SPREAD,))
    reach = t_quantile(0.5 + level / 2, n - 1) * se
    centre = fmean(values)
    return Interval(centre - reach, centre + reach, f"t over tasks ({n - 1} df)")


def expanded_probability(n: int, level: float) -> float:
    """Lower tail probability of the expanded percentile interval: Phi(sqrt(n/(n-1)) t quantile) (Hesterberg 2015)."""
    return float(ndtr(math.sqrt(n / (n - 1)) * t_quantile(0.5 - level / 2, n - 1)))


def expanded_percentile(draws: Floats, n: int, level: float) -> tuple[float, float]:
    """Expanded percentile interval of `draws` (R,) of any statistic of n resampled units, n > 1."""
    return _ends(draws, expanded_probability(n, level))


def percentile(draws: Floats, level: float) -> tuple[float, float]:
    """Percentile interval of `draws` (R,) of any statistic; covers too little with few units."""
    return _ends(draws, 0.5 - level / 2)


def _ends(draws: Floats, probability: float) -> tuple[float, float]:
    low, high = tails(np.array(draws[None, :]), probability)
    return float(low[0]), float(high[0])


@dataclass(frozen=True, slots=True)
class Ratio:
    """sum(num) / sum(den) over tasks; den = 1 makes it a mean. num, den, use: (T,); num = den = 0 on unused tasks."""

    num: Floats
    den: Floats
    use: Bools

    @property
    def value(self) -> float | None:
        """The point estimate; None when no task is in use. Exact in any order of the tasks."""
        total = math.fsum(self.den.tolist())
        return math.fsum(self.num.tolist()) / total if total > 0 else None

    @property
    def influence(self) -> Floats:
        """Linearised value per task in use, (T',); for a mean these are the task values themselves."""
        num, den = self.num[self.use], self.den[self.use]
        if bool(np.all(den == 1)):
            return num
        value = self.value or 0.0
        return np.asarray(value + (num - value * den) / np.mean(den), dtype=np.float64)


Asked: TypeAlias = tuple[Ratio, Ratio | None]
"""A contrast, first - second, or a single mean or ratio; both over the same T tasks, the same of them in use."""


def mean_ratio(means: Floats) -> Ratio:
    """Task means (nan = task not in use) as a Ratio."""
    use = np.isfinite(means)
    return Ratio(np.where(use, means, 0.0), use.astype(np.float64), use)


def value_of(asked: Asked) -> float:
    """The point estimate, 0 where it is undefined."""
    first, second = asked
    return (first.value or 0.0) - (0.0 if second is None else second.value or 0.0)


def linearised(asked: Asked) -> Floats:
    """The value per task in use whose mean is the estimate and whose spread is its error, (T',)."""
    first, second = asked
    return first.influence if second is None else first.influence - second.influence


def ratio_draws(asked: Sequence[Asked], how: Draws) -> Floats:
    """Replicates of each contrast under the shared draws, (C, R); a row is nan where a draw has no denominator."""
    columns = [first.num for first, _ in asked]
    place: dict[bytes, int] = {}

    def index(column: Floats) -> int:
        at = place.setdefault(column.tobytes(), len(columns))
        if at == len(columns):
            columns.append(column)
        return at

    others = [(index(f.den), None if s is None else (index(s.num), index(s.den))) for f, s in asked]
    sums = how.sums_by_column(np.stack(columns, axis=1))
    defined = [bool(np.all(row > 0)) for row in sums[len(asked) :]]
    found = sums[: len(asked)]
    for draws, (den, second) in zip(found, others, strict=True):
        if not defined[den - len(asked)] or (second is not None and not defined[second[1] - len(asked)]):
            draws.fill(np.nan)
            continue
        np.divide(draws, sums[den], out=draws)
        if second is not None:
            np.subtract(draws, sums[second[0]] / sums[second[1]], out=draws)
    return found


def tasks_sampled(first: Ratio, second: Ratio | None, how: Draws) -> Interval:
    """Interval of first - second (or of first alone) over tasks like these: `tasks_sampled_all` of one."""
    return tasks_sampled_all([(first, second)], how)[0]


def tasks_sampled_all(asked: Sequence[Asked], how: Draws) -> list[Interval]:
    """Intervals of contrasts over tasks like these, all from one product with the shared draws.

    The expanded percentile from FEW_TASKS on; t on the linearised values below that, where no spread is left, and where
    a draw has no denominator.
    """
    values = [linearised(pair) for pair in asked]
    groups: dict[int, list[int]] = {}
    for i, v in enumerate(values):
        if len(v) >= FEW_TASKS and standard_error(v) > SAME:
            groups.setdefault(len(v), []).append(i)
    found: dict[int, Interval] = {}
    method = f"expanded percentile bootstrap ({how.total} draws)"
    for n, members in groups.items():
        lows, highs = tails(ratio_draws([asked[i] for i in members], how), expanded_probability(n, how.level))
        drawn = zip(members, lows.tolist(), highs.tolist(), strict=True)
        found |= {i: Interval(low, high, method) for i, low, high in drawn if math.isfinite(low)}
    return [found[i] if i in found else t_interval(v, how.level) for i, v in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Ask:
    """A value, and its interval over tasks: found already, or `asked` of the shared draws."""

    value: float | None
    interval: Interval | None = None
    asked: Asked | None = None


def settle(asks: Sequence[Ask], how: Draws) -> list[tuple[float | None, Interval]]:
    """Values and intervals of all asks, in order, by one product with the shared draws."""
    drawn = iter(tasks_sampled_all([a.asked for a in asks if a.asked is not None], how))
    none = Interval(None, None, "none")
    return [(a.value, next(drawn) if a.asked is not None else a.interval or none) for a in asks]


def tasks_fixed(
    means: Floats, variances: Floats, counts: Ints, level: float, spread_counts: Ints | None = None
) -> Interval:
    """Closed-form interval of the mean of task means on these very tasks, run again.

    means, variances, counts: (T,), the within-task block variance (nan with one block) and K of each task.
    spread_counts: (T,), blocks behind each variance where they are others than K. A task without a variance of its own
    borrows the mean one. s.e. = sqrt(sum v_t) / T with v_t = s_t^2 / K_t; t with Satterthwaite's df, each v_t^2 freed
    of its own noise by (K-1)/(K+1): df = (sum v_t)^2 / sum (v_t^2 / (K_t + 1)).
    """
    behind = counts if spread_counts is None else spread_counts
    enough = behind > 1
    method = "closed form, t with Satterthwaite df"
    if not bool(np.any(enough)):
        one = Caution("one_block", "one block per task: no repeat-to-repeat noise can be seen", "raise `repeats`")
        return Interval(None, None, method, (one,))
    lent = float(np.sum(1 / counts[~enough])) / int(np.sum(enough))
    each = variances[enough] * (1 / counts[enough] + lent)
    total = float(np.sum(each))
    if math.sqrt(total) / len(means) <= SAME:
        same = Caution("no_spread", "all blocks of each task agree: their noise cannot be estimated", "raise `repeats`")
        return Interval(None, None, method, (same,))
    df = total**2 / float(np.sum(each**2 / (behind[enough] + 1)))
    reach = t_quantile(0.5 + level / 2, df) * math.sqrt(total) / len(means)
    single = int(np.sum(~enough))
    borrow = Caution("borrowed", f"{single} tasks have one block and borrow the mean noise", "raise `repeats`")
    centre = fmean(means)
    return Interval(centre - reach, centre + reach, method, (borrow,) if single else ())
