"""Studies of a known truth as arrays: (studies, tasks, blocks) outcomes and the probabilities behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage.judge import Floats
from raysweep.stats.arrays import Bools
from raysweep.stats.simulate import shift


@dataclass(frozen=True)
class Paired:
    """Outcomes of two arms, (S, T, K), and their probabilities by task, (S, T)."""

    arm: Bools
    reference: Bools
    p_arm: Floats
    p_reference: Floats

    @property
    def blocks(self) -> Floats:
        """Arm minus reference per block, (S, T, K)."""
        return self.arm.astype(np.float64) - self.reference

    @property
    def means(self) -> Floats:
        """Task contrasts, (S, T)."""
        return np.asarray(self.blocks.mean(axis=2))

    @property
    def truth_of_tasks(self) -> Floats:
        """The contrast of the drawn tasks themselves, (S,)."""
        return np.asarray((self.p_arm - self.p_reference).mean(axis=1))


def _outcomes(rng: np.random.Generator, p_arm: Floats, p_reference: Floats, blocks: int) -> Paired:
    shape = (*p_arm.shape, blocks)
    return Paired(rng.random(shape) < p_arm[..., None], rng.random(shape) < p_reference[..., None], p_arm, p_reference)


def dense(
    rng: np.random.Generator, studies: int, tasks: int, blocks: int, *, rate: float, concentration: float, effect: float
) -> Paired:
    """Success: difficulty beta(concentration x rate) over tasks; the effect (fraction) is the mean over such tasks."""
    p = rng.beta(rate * concentration, (1 - rate) * concentration, (studies, tasks))
    return _outcomes(rng, shift(p, rate, effect), p, blocks)


def constant(
    rng: np.random.Generator, studies: int, tasks: int, blocks: int, *, rate: float, concentration: float, effect: float
) -> Paired:
    """Success with the same effect (fraction) on every task, cut off at 1: what a power calculation assumes."""
    p = rng.beta(rate * concentration, (1 - rate) * concentration, (studies, tasks))
    return _outcomes(rng, np.minimum(1.0, p + effect), p, blocks)


def infra(
    rng: np.random.Generator, studies: int, tasks: int, blocks: int, before: float, after: float, concentration: float
) -> Paired:
    """Infrastructure deaths clustered in few tasks: q_t is beta in the reference, q_t x after / before in the arm."""
    if math.isinf(concentration):
        q = np.full((studies, tasks), before)
    else:
        q = rng.beta(before * concentration, (1 - before) * concentration, (studies, tasks))
    return _outcomes(rng, q * after / before, q, blocks)
