"""What a design can detect, before anything runs: closed forms under stated rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.stats import nct, t

CONCENTRATION = 2.0
"""Default spread of task difficulty: a beta distribution with a + b = 2 (uniform at rate 0.5)."""


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


def contrast_se(tasks: int, blocks: int, *, rate: float, concentration: float, effect_sd: float) -> float:
    """Standard error of a success contrast (fraction) over sampled tasks with `blocks` blocks each.

    Bernoulli outcomes, task difficulty beta(rate, concentration), the same in both arms but for an effect that varies
    between tasks with sd `effect_sd` (fraction).
    """
    within = rate * (1 - rate) * concentration / (concentration + 1)
    return math.sqrt((2 * within / blocks + effect_sd**2) / tasks)


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
    """The smallest success contrast over all buckets that the paired t finds with `power`, two-sided.

    repeats: per task, arm and bucket. rate: mean success, 0.5 being the worst case. ValueError for fewer than one task,
    repeat or bucket, or rates outside (0, 1).
    """
    if min(tasks, repeats, buckets) < 1 or not 0 < rate < 1:
        raise ValueError("tasks, repeats and buckets must be at least 1, and rate between 0 and 1")
    blocks = repeats * buckets
    assumption = (
        f"assuming a mean success of {rate:.0%}, task difficulty spread as a beta with a + b = {concentration:g}"
    )
    assumption += f", effects varying by {100 * effect_sd:g} points between tasks" if effect_sd else ""
    if tasks < 2:
        return Detectable(None, None, power, confidence, tasks, blocks, assumption)
    se = contrast_se(tasks, blocks, rate=rate, concentration=concentration, effect_sd=effect_sd)
    df = tasks - 1
    quantile = float(t.ppf(0.5 + confidence / 2, df))
    shift = float(brentq(lambda d: float(nct.sf(quantile, df, d)) - power, 0.0, 20 * quantile + 20))
    return Detectable(
        effect=min(100.0, 100 * shift * se),
        half_width=min(100.0, 100 * quantile * se),
        power=power,
        level=confidence,
        tasks=tasks,
        blocks_per_task=blocks,
        assumption=assumption,
    )
