"""What a design can detect and what it would take, before anything runs: closed forms under stated variances and rates.

Contrasts, widths and variances are fractions (0.02 = 2 points) here, percentage points in `Detectable`. Power of a t
test by the noncentral t, of a difference of rates by summing over every outcome that Newcombe's interval would claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, nct, norm, t

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.methods.calibration import tost_power
from raysweep.stats.methods.variance import bucket_power

CONCENTRATION = 2.0
"""Default spread of task difficulty: a beta distribution with a + b = 2 (uniform at rate 0.5)."""
MOST_BLOCKS = 100_000
"""Blocks per task beyond which nobody runs: what needs more cannot be had by repeating."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What makes a success contrast uncertain.

    block: variance of one block's difference within its task. effect: variance of the true contrasts between tasks,
    which no repeating removes when tasks are sampled.
    """

    block: float
    effect: float = 0.0

    def se(self, tasks: int, blocks: int, *, fixed: bool) -> float:
        """Standard error of the mean over tasks of `blocks` blocks each; fixed: of these tasks run again."""
        return math.sqrt((self.block / blocks + (0.0 if fixed else self.effect)) / tasks)


def trial_variance(rate: float, concentration: float = CONCENTRATION) -> float:
    """Variance of a trial's outcome within its task when task difficulty is beta of mean `rate`."""
    return rate * (1 - rate) * concentration / (concentration + 1)


def stated_noise(rate: float, *, concentration: float = CONCENTRATION, effect_sd: float = 0.0) -> Noise:
    """The noise of 0/1 outcomes whose tasks are equally hard in both arms but for effects of sd `effect_sd`."""
    return Noise(2 * trial_variance(rate, concentration), effect_sd**2)


@dataclass(frozen=True, slots=True)
class Reach:
    """effect: smallest contrast found with the asked power; half_width: of the interval, on average."""

    effect: float
    half_width: float


def reach(noise: Noise, tasks: int, blocks: int, *, fixed: bool, level: float, power: float) -> Reach | None:
    """What a t interval over `tasks` x `blocks` can show; None where there is none (one task; fixed: one block)."""
    df = _df(tasks, blocks, fixed=fixed)
    if df is None:
        return None
    se, quantile = noise.se(tasks, blocks, fixed=fixed), float(t.ppf(0.5 + level / 2, df))
    return Reach(_shift(quantile, df, power) * se, quantile * se)


def _df(tasks: int, blocks: int, *, fixed: bool) -> float | None:
    """Of the t over tasks; of the closed form with tasks fixed: T (K-1) x (K+1)/(K-1), as `interval.tasks_fixed`."""
    if fixed:
        return float(tasks * (blocks + 1)) if blocks > 1 else None
    return float(tasks - 1) if tasks > 1 else None


def _shift(quantile: float, df: float, power: float) -> float:
    """Noncentrality at which t exceeds its quantile with `power`."""
    if df > 1000:  # the noncentral t is normal to three digits there, and slow
        return quantile + float(norm.ppf(power))
    return float(brentq(lambda d: float(nct.sf(quantile, df, d)) - power, 0.0, 20 * quantile + 20))


def blocks_for(
    noise: Noise, tasks: int, *, level: float, fixed: bool, effect: float | None = None,
    half_width: float | None = None, power: float = 0.8,
) -> int | None:  # fmt: skip
    """Fewest blocks per task that show a contrast of `effect` with `power`, or that make the interval as narrow.

    Both when both are given. None where no number of blocks does: one task, or effects that vary too much between
    sampled tasks, which only more tasks help.
    """

    def enough(blocks: int) -> bool:
        found = reach(noise, tasks, blocks, fixed=fixed, level=level, power=power)
        return (
            found is not None
            and (effect is None or found.effect <= effect)
            and (half_width is None or found.half_width <= half_width)
        )

    return fewest(enough)


def fewest(enough: Callable[[int], bool], most: int = MOST_BLOCKS) -> int | None:
    """Smallest whole number from 1 on for which `enough` holds, and then for all larger ones; None beyond `most`."""
    high = 1
    while not enough(high):
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def equivalence_power(noise: Noise, tasks: int, blocks: int, delta: float, *, alpha: float, fixed: bool) -> float:
    """Probability that TOST shows |contrast| < delta when it is 0; 0 where there is no interval."""
    df = _df(tasks, blocks, fixed=fixed)
    return 0.0 if df is None else tost_power(delta, noise.se(tasks, blocks, fixed=fixed), df, alpha)


def equivalence_blocks(
    noise: Noise, tasks: int, delta: float, *, alpha: float, fixed: bool, power: float = 0.8
) -> int | None:
    """Fewest blocks per task for that probability; None where no number of blocks does it."""
    return fewest(lambda k: equivalence_power(noise, tasks, k, delta, alpha=alpha, fixed=fixed) >= power)


def fall_power(before: float, after: float, trials: float, *, level: float) -> float:
    """Probability that Newcombe's interval of after - before lies below 0, with `trials` (effective) in either arm.

    Exact over the binomial outcomes of two independent arms; what is within 5.5 s.e. of either mean counts.
    """
    n = max(1, round(trials))
    k0, k1 = _likely(n, before), _likely(n, after)
    (p0, low0, _), (p1, _, high1) = _wilson(k0 / n, n, level), _wilson(k1 / n, n, level)
    claimed = (p0 - p1[:, None]) > np.hypot(p0 - low0, (high1 - p1)[:, None])
    return float(binom.pmf(k1, n, after) @ claimed @ binom.pmf(k0, n, before))


def _likely(n: int, p: float) -> Ints:
    spread = 5.5 * math.sqrt(n * p * (1 - p)) + 15
    return np.arange(max(0, math.floor(n * p - spread)), min(n, math.ceil(n * p + spread)) + 1)


def _wilson(p: Floats, n: int, level: float) -> tuple[Floats, Floats, Floats]:
    """The rates and their score limits, elementwise (as `rare.wilson`)."""
    z = float(norm.isf((1 - level) / 2))
    reach_of = z * np.sqrt(z * z + 4 * n * p * (1 - p)) / (2 * (n + z * z))
    centre = (2 * n * p + z * z) / (2 * (n + z * z))
    return p, centre - reach_of, centre + reach_of


def smallest_fall(before: float, trials: float, *, level: float, power: float) -> float | None:
    """The highest rate after which a fall from `before` is shown with `power`; None where not even 0 would show it."""
    if not 0 < before < 1 or fall_power(before, 0.0, trials, level=level) < power:
        return None
    low, high = 0.0, before
    while high - low > before / 2000:
        middle = (low + high) / 2
        shown = fall_power(before, middle, trials, level=level) >= power
        low, high = (middle, high) if shown else (low, middle)
    return low


def smallest_amplitude(noise: float, buckets: int, dates: int, *, level: float, power: float) -> float | None:
    """Smallest cosine amplitude of bucket means (its RMS is 1 / sqrt 2 of it) that the F test between buckets finds.

    noise: variance of an occasion mean, occasions' own included. None with fewer than two buckets or dates.
    """
    if min(buckets, dates) < 2 or noise <= 0:
        return None
    at = np.array([dates])

    def excess(rms: float) -> float:
        return float(bucket_power(at, noise, buckets, rms=rms, level=level)[0]) - power

    top = math.sqrt(noise)
    while excess(top) < 0:
        top *= 2
    return math.sqrt(2) * float(brentq(excess, 0.0, top))


@dataclass(frozen=True, slots=True)
class Detectable:
    """Smallest success contrast (percentage points) that a design finds with `power`; None where none can be.

    half_width: of the interval at `level`, points. assumption: in words, what the numbers rest on.
    """

    effect: float | None
    half_width: float | None
    power: float
    level: float
    tasks: int
    blocks_per_task: int
    assumption: str

    @property
    def sentence(self) -> str:
        """One sentence for `raysweep plan`."""
        if self.effect is None:
            return f"No interval can be given with {self.tasks} task(s): add tasks. ({self.assumption})"
        if self.effect >= 100:
            return (
                f"{self.tasks} tasks x {self.blocks_per_task} blocks cannot detect any contrast with"
                f" {self.power:.0%} power; add tasks or repeats. ({self.assumption})"
            )
        return (
            f"Smallest detectable contrast: {self.effect:.1f} points at {self.power:.0%} power (half-width of the"
            f" {self.level:.0%} interval {self.half_width:.1f} points) with {self.tasks} tasks x {self.blocks_per_task}"
            f" blocks. ({self.assumption})"
        )


def stated_assumption(rate: float, concentration: float = CONCENTRATION, effect_sd: float = 0.0) -> str:
    """In words, what `stated_noise` rests on."""
    words = f"assuming a mean success of {rate:.0%}, task difficulty spread as a beta with a + b = {concentration:g}"
    return words + (f", effects varying by {100 * effect_sd:g} points between tasks" if effect_sd else "")


def detectable_effect(
    tasks: int,
    repeats: int,
    *,
    buckets: int = 1,
    rate: float = 0.5,
    concentration: float = CONCENTRATION,
    effect_sd: float = 0.0,
    confidence: float = 0.95,
    power: float = 0.8,
) -> Detectable:
    """The smallest success contrast over all buckets that the paired t finds with `power`, two-sided, tasks sampled.

    repeats: per task, arm and bucket. rate: mean success, 0.5 being the worst case. ValueError for fewer than one task,
    repeat or bucket, or rates outside (0, 1).
    """
    if min(tasks, repeats, buckets) < 1 or not 0 < rate < 1:
        raise ValueError("tasks, repeats and buckets must be at least 1, and rate between 0 and 1")
    blocks = repeats * buckets
    assumption = stated_assumption(rate, concentration, effect_sd)
    noise = stated_noise(rate, concentration=concentration, effect_sd=effect_sd)
    found = reach(noise, tasks, blocks, fixed=False, level=confidence, power=power)
    if found is None:
        return Detectable(None, None, power, confidence, tasks, blocks, assumption)
    return Detectable(
        effect=min(100.0, 100 * found.effect),
        half_width=min(100.0, 100 * found.half_width),
        power=power,
        level=confidence,
        tasks=tasks,
        blocks_per_task=blocks,
        assumption=assumption,
    )
