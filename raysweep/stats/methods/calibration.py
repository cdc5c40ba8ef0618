"""Is a ceiling equivalent to the floor, and do fewer trials die? Intervals, exact tests and the blocks they need.

Tasks are fixed here: the interval speaks of these very tasks, run again. Sources: Schuirmann 1987 (two one-sided
tests: the 1 - 2 alpha interval within +-delta); Clopper & Pearson 1934; Hoeffding 1956 (independent trials of unequal
rates spread less than a binomial of their mean rate, so that the exact bounds hold over fixed tasks); Zou & Donner 2008
(difference of two rates from the limits of each); McNemar 1947, exact; Wilks 1941 (tolerance bound of a largest value).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv
from scipy.stats import binom, nct, norm, t

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.methods.interval import Interval, fmean, tasks_fixed

FEW_DISCORDANT = 30
"""Below this many discordant blocks the t interval is replaced by an exact one: with 10 it claims too much (7 %)."""
LARGE_DF = 2000.0
"""From here on t is normal to four digits, and the noncentral t is not worth its time."""


@dataclass(frozen=True, slots=True)
class TaskMoments:
    """Paired differences (arm minus floor) of a contrast, by task with at least one complete block.

    means, variances, counts: (T,); variances within the task over its blocks, 0 where it has one. up, down: number of
    blocks with a positive and with a negative difference. binary: both arms' values are 0 or 1. unit: all lie in 0..1.
    pooled: variance of the difference over all blocks.
    """

    means: Floats
    variances: Floats
    counts: Ints
    up: int
    down: int
    binary: bool
    unit: bool
    pooled: float

    @property
    def blocks(self) -> int:
        """Blocks of all tasks."""
        return int(self.counts.sum())

    @property
    def per_task(self) -> float:
        """Mean number of blocks per task."""
        return self.blocks / max(1, len(self.counts))


def clopper_pearson(events: Floats | int, trials: Floats | int, level: float) -> tuple[Floats, Floats]:
    """Exact limits of rates, elementwise; each side is a one-sided bound at (1 + level) / 2. No trials: 0 to 1."""
    k, n = np.asarray(events, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    tail = 0.5 - level / 2
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def difference_interval(m: TaskMoments, level: float) -> Interval:
    """Interval of the mean of task means with these tasks run again.

    Exact where hardly a block is discordant, and where a closed form has no variance to stand on (one block per task,
    tasks that never change) though the rewards are 0 and 1.
    """
    if not m.blocks:
        return Interval(None, None, "none: no complete block")
    if m.unit and m.up + m.down < FEW_DISCORDANT:
        return _from_discordant(m, level)
    closed = tasks_fixed(m.means, m.variances, m.counts, level)
    return _from_discordant(m, level) if closed.low is None and m.binary else closed


def _from_discordant(m: TaskMoments, level: float) -> Interval:
    """Limits from the exact ones of P(difference > 0) and P(difference < 0).

    Of rewards between 0 and 1 an unseen difference may be a whole one: then only the two bounds themselves are used.
    Every task counts as having as many blocks as the one with the fewest.
    """
    n = len(m.counts) * int(m.counts.min())
    value = fmean(m.means)
    up, down = min(m.up, n), min(m.down, n)
    lows, highs = clopper_pearson(np.array([up, down], dtype=np.float64), n, level)
    (l_up, l_down), (u_up, u_down) = lows.tolist(), highs.tolist()
    if not m.binary:
        return Interval(-u_down, u_up, "exact bounds on discordant blocks")
    p, q = up / n, down / n
    # Of one multinomial the two shares are correlated: the more blocks rise, the fewer can fall.
    r = -math.sqrt(p * q / ((1 - p) * (1 - q))) if max(p, q) < 1 else 0.0
    below = _combined(p - l_up, u_down - q, r)
    above = _combined(u_up - p, q - l_down, r)
    return Interval(max(-1.0, value - below), min(1.0, value + above), "exact limits of discordant blocks, combined")


def _combined(first: float, second: float, r: float) -> float:
    """Reach of a difference from the reaches of its two parts with correlation r (Zou & Donner 2008)."""
    return math.sqrt(first**2 - 2 * r * first * second + second**2)


def within(interval: Interval, delta: float) -> bool:
    """TOST: the interval (of level 1 - 2 alpha) lies inside +-delta; False where there is none."""
    return interval.low is not None and interval.high is not None and -delta < interval.low and interval.high < delta


def outside(interval: Interval, delta: float) -> bool:
    """The interval lies wholly beyond delta on one side; False where there is none."""
    return interval.low is not None and interval.high is not None and (interval.low > delta or interval.high < -delta)


def tost_power(delta: float, se: float, df: float, alpha: float) -> float:
    """Probability that TOST passes when the true difference is 0 (each side fails alone: exact from about 0.5 on)."""
    if se <= 0:
        return 1.0
    if df >= LARGE_DF:
        return max(0.0, 2 * float(norm.cdf(delta / se - norm.isf(alpha))) - 1)
    return max(0.0, 2 * float(nct.sf(t.isf(alpha, df), df, delta / se)) - 1)


def blocks_needed(m: TaskMoments, delta: float, alpha: float, power: float = 0.8) -> int | None:
    """Blocks per task for TOST to pass with `power` when there is no difference; None where nothing can be said.

    From the within-task variance where tasks have repeats; with one block each from that over all blocks, which holds
    the spread between tasks too (too many blocks rather than too few). No discordant block: what the exact bound needs.
    """
    tasks = len(m.counts)
    if not tasks or m.up + m.down == 0:
        return math.ceil(math.log(alpha) / (tasks * math.log1p(-delta))) if tasks else None
    repeated = m.counts > 1
    each = m.variances[repeated] if bool(repeated.any()) else np.array([m.pooled])
    mean = float(each.mean())
    if mean <= 0:
        return None
    spread = tasks * float(each.sum()) ** 2 / (len(each) * float(np.sum(each**2)))  # (sum v)^2 / sum v^2 of all tasks
    factor = (float(norm.isf(alpha)) + float(norm.isf((1 - power) / 2))) / delta
    k = max(2, math.ceil(mean / tasks * factor**2))
    while tost_power(delta, math.sqrt(mean / (tasks * k)), spread * (k + 1), alpha) < power:
        k += 1
    return k


def mcnemar_fall(falls: int, rises: int) -> float:
    """Exact one-sided p that events became fewer: falls of falls + rises discordant blocks under Bin(n, 1/2).

    The level holds however events cluster in tasks, dates and blocks when a block's arms are exchangeable, and over
    fixed tasks whose falls and rises cancel only in the mean: their sum spreads less than the binomial.
    """
    return float(binom.sf(falls - 1, falls + rises, 0.5)) if falls + rises else 1.0


def trials_for_maximum(share: float, confidence: float) -> int:
    """Trials whose largest value has, with `confidence`, a `share` of all trials below it (Wilks 1941): 59 at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(share))


def rate_trials_needed(events: int, trials: int, most: float, alpha: float, power: float = 0.8) -> int | None:
    """Trials for the upper bound of a rate to come below `most` with `power`, if the rate is the one seen.

    None when the rate seen is not below `most`. Without any event: what the exact bound needs.
    """
    rate = events / trials
    if rate >= most:
        return None
    if events == 0:
        return math.ceil(math.log(alpha) / math.log1p(-most))
    z, strength = float(norm.isf(alpha)), float(norm.isf(1 - power))
    reach = z * math.sqrt(most * (1 - most)) + strength * math.sqrt(rate * (1 - rate))
    return math.ceil((reach / (most - rate)) ** 2)
