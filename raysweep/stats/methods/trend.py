"""Page's test for a trend over ordered treatments (resource multipliers), within blocks (tasks).

Sources: Page 1963, J Am Stat Assoc 58:216; the tie-corrected variance is that of a linear rank statistic under
permutation within blocks (Hájek, Šidák & Sen 1999, section 3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from raysweep import seeds
from raysweep.stats.arrays import Floats
from raysweep.stats.methods.permutation import CHUNK, DRAWS, TIE

LEAST_ORDERED = 3
"""With two treatments there is no trend to tell from a contrast."""


@dataclass(frozen=True, slots=True)
class Page:
    """statistic: Page's L with mid-ranks; z: its standardised value, ties corrected for, positive when rising.

    p: Monte Carlo permutation p for a trend in either direction; p_rising: for a rising one; p_normal: two-sided, from
    z. ordered: L, z and p are None where nothing can be ranked.
    """

    statistic: float | None
    z: float | None
    p: float | None
    p_rising: float | None
    p_normal: float | None
    blocks: int
    treatments: int


def page(values: Floats, seed: int, *, draws: int = DRAWS) -> Page:
    """Page's trend test of values (T, m), T blocks by m treatments in ascending order, finite.

    Values are ranked within each block after rounding to 12 digits, so that equal means tie. None throughout with less
    than 3 treatments or no block; all tied: z None and p = 1.
    """
    blocks, treatments = values.shape
    if treatments < LEAST_ORDERED or not blocks:
        return Page(None, None, None, None, None, blocks, treatments)
    order = np.arange(treatments) - (treatments - 1) / 2
    ranks = rankdata(np.round(values, 12), axis=1) - (treatments + 1) / 2
    centred = float(np.sum(ranks @ order))  # L less its expectation
    variance = float(np.sum(order**2) * np.sum(ranks**2)) / (treatments - 1)
    level = centred + blocks * treatments * (treatments + 1) ** 2 / 4
    if variance <= 0:
        return Page(level, None, 1.0, 1.0, 1.0, blocks, treatments)
    z = centred / math.sqrt(variance)
    seen = _permuted(ranks, order, seed, draws)
    near = TIE * math.sqrt(variance)
    either, rising = int(np.sum(np.abs(seen) >= abs(centred) - near)), int(np.sum(seen >= centred - near))
    return Page(
        statistic=level,
        z=z,
        p=(either + 1) / (draws + 1),
        p_rising=(rising + 1) / (draws + 1),
        p_normal=2 * float(norm.sf(abs(z))),
        blocks=blocks,
        treatments=treatments,
    )


def _permuted(ranks: Floats, order: Floats, seed: int, draws: int) -> Floats:
    """The centred statistic under `draws` permutations within blocks, made in chunks."""
    moving = ranks[np.any(ranks != 0, axis=1)]  # a block whose values all tie adds 0 in any order
    found = []
    for child in seeds.sequence(seed, "stats", "page").spawn(-(-draws // CHUNK)):
        rng = np.random.Generator(np.random.PCG64(child))
        drawn = rng.permuted(np.broadcast_to(moving, (CHUNK, *moving.shape)), axis=2)
        found.append(drawn.sum(axis=1) @ order)
    return np.concatenate(found)[:draws]
