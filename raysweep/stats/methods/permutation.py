"""Permutation tests: labels or signs exchanged where the design makes them exchangeable.

Belongs here: sign flips of task contrasts, arm labels within occasions, bucket labels within dates. Ranks under
permutation are in `trend`. Monte Carlo p-values are (b + 1) / (R + 1) (Phipson & Smyth 2010), never 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from raysweep import seeds
from raysweep.stats.arrays import Bools, Floats, Ints

PERMUTATIONS = 2000
"""Draws of the platform test."""
DRAWS = 9_999
"""Monte Carlo draws of the other tests: p in steps of 1 / 10,000."""
CHUNK = 500
"""Draws per SeedSequence child."""
EXACT_TASKS = 20
"""Up to this many contrasts that are not 0 all 2^T sign flips are counted (0.5 million sums by symmetry)."""
EXACT_LABELLINGS = 20_000
"""Up to this many label permutations are enumerated: 4 buckets on 4 dates are 24^3 = 13,824."""
DUST = 1e-12
"""A contrast of fractions below this is 0 and rounding."""
TIE = 1e-9
"""Relative tolerance of "at least as large": sums that differ by rounding alone are ties."""


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Two-sided p (None without a contrast); at_least of the `flips` looked at had |sum| >= |observed sum|."""

    p: float | None
    at_least: int
    flips: int
    exact: bool


def sign_flip(contrasts: Floats, seed: int, *, draws: int = DRAWS) -> SignFlip:
    """Sign-flip test that task contrasts (T,), finite, are symmetric about 0 (Fisher 1935, section 21).

    Contrasts of exactly 0 do not change under a flip, so only the others count for EXACT_TASKS. Beyond it: Monte
    Carlo, studentised at no cost, because the sum of squares does not change under flips and |t| grows with |sum|; so
    the level also holds, for many tasks, where the mean is 0 without symmetry. All contrasts 0: p = 1.
    """
    moving = np.asarray(contrasts[np.abs(contrasts) > DUST], dtype=np.float64)
    if not len(contrasts):
        return SignFlip(None, 0, 0, exact=True)
    if not len(moving):
        return SignFlip(1.0, 1, 1, exact=True)
    least = abs(math.fsum(moving.tolist())) - TIE * float(np.abs(moving).sum())
    if len(moving) <= EXACT_TASKS:
        sums = moving[:1]
        for d in moving[1:]:
            sums = np.concatenate([sums + d, sums - d])
        hits = 2 * int(np.sum(np.abs(sums) >= least))  # the other half has the first sign reversed
        return SignFlip(hits / (2 * len(sums)), hits, 2 * len(sums), exact=True)
    hits = sum(int(np.sum(np.abs(s) >= least)) for s in _flipped_sums(moving, seed, draws))
    return SignFlip((hits + 1) / (draws + 1), hits, draws, exact=False)


def _flipped_sums(moving: Floats, seed: int, draws: int) -> list[Floats]:
    """`draws` sums with random signs in chunks; contrasts of equally many tasks share their signs."""
    width, total, found = -(-len(moving) // 8), float(moving.sum()), []
    for number, child in enumerate(seeds.sequence(seed, "stats", "sign-flip").spawn(-(-draws // CHUNK))):
        raw = np.frombuffer(np.random.Generator(np.random.PCG64(child)).bytes(CHUNK * width), dtype=np.uint8)
        plus = np.unpackbits(raw.reshape(CHUNK, width), axis=1, count=len(moving))
        found.append((2 * (plus @ moving) - total)[: draws - number * CHUNK])
    return found


def bucket_label_p(grid: Floats, seed: int, *, draws: int = DRAWS) -> float | None:
    """Omnibus p that bucket labels may be exchanged within each date; None with one date or one bucket.

    grid: (B, D) occasion means, finite. Statistic: the mean square between buckets. All (B!)^(D - 1) labellings are
    counted where they are few (the first date may stay as it is: a common relabelling changes nothing), else Monte
    Carlo. The smallest p there can be is `smallest_label_p(B, D)`.
    """
    buckets, dates = grid.shape
    if buckets < 2 or dates < 2:
        return None
    centred = grid - grid.mean(axis=0)  # dates shift every bucket alike: the statistic does not see them
    least = float(np.sum(centred.sum(axis=1) ** 2)) - TIE * dates * float(np.sum(centred**2))
    if math.factorial(buckets) ** (dates - 1) <= EXACT_LABELLINGS:
        sums = centred[None, :, 0]
        for d in range(1, dates):
            orders = np.array(list(permutations(centred[:, d])))
            sums = (sums[:, None, :] + orders[None, :, :]).reshape(-1, buckets)
        return float(np.mean(np.sum(sums**2, axis=1) >= least))
    hits = 0
    for number, child in enumerate(seeds.sequence(seed, "stats", "bucket-labels").spawn(-(-draws // CHUNK))):
        rng = np.random.Generator(np.random.PCG64(child))
        drawn = rng.permuted(np.broadcast_to(centred, (CHUNK, buckets, dates)), axis=1)[: draws - number * CHUNK]
        hits += int(np.sum(np.sum(drawn.sum(axis=2) ** 2, axis=1) >= least))
    return (hits + 1) / (draws + 1)


def smallest_label_p(buckets: int, dates: int) -> float:
    """The smallest p that `bucket_label_p` can give: 1 / 24 for 4 buckets on 2 dates; 1 with one date."""
    return float(max(1 / math.factorial(buckets) ** (dates - 1), 1 / (DRAWS + 1)))


def platform_p(events: Bools, sizes: Bools, occasion: Ints, seed: int) -> float:
    """Monte Carlo permutation p, (b+1)/(R+1), for events spread over arms as trials are, within occasions.

    events, sizes: (n blocks, A) flags; occasion: (n,) codes. Statistic: sum over arms of (seen - expected)^2 /
    expected.
    """
    if not events.any():
        return 1.0
    _, group = np.unique(occasion, return_inverse=True)
    groups, arms = int(group.max()) + 1, events.shape[1]
    hits, trials = np.zeros((groups, arms), dtype=np.int64), np.zeros((groups, arms), dtype=np.int64)
    np.add.at(hits, group, events.astype(np.int64))
    np.add.at(trials, group, (sizes | events).astype(np.int64))
    expected = (hits.sum(axis=1, keepdims=True) * trials / np.maximum(trials.sum(axis=1, keepdims=True), 1)).sum(axis=0)

    def statistic(seen: Ints) -> Floats:
        return np.asarray(((seen - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=-1), dtype=np.float64)

    rng = seeds.generator(seed, "stats", "platform")
    drawn = np.zeros((PERMUTATIONS, arms), dtype=np.int64)
    for g in np.flatnonzero(hits.sum(axis=1)):
        drawn += rng.multivariate_hypergeometric(trials[g], int(hits[g].sum()), size=PERMUTATIONS)
    at_least = int(np.sum(statistic(drawn) >= float(statistic(hits.sum(axis=0))) - 1e-9))
    return (at_least + 1) / (PERMUTATIONS + 1)
