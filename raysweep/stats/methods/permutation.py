"""Permutation tests: labels exchanged where the design makes them exchangeable.

Monte Carlo p-values are (b + 1) / (R + 1) (Phipson & Smyth 2010).
"""

from __future__ import annotations

import numpy as np

from raysweep import seeds
from raysweep.stats.arrays import Bools, Floats, Ints

PERMUTATIONS = 2000


def platform_p(events: Bools, sizes: Bools, occasion: Ints, seed: int) -> float:
    """Monte Carlo permutation p, (b+1)/(R+1), for events spread over arms as trials are, within occasions.

    events, sizes: (n blocks, A) flags; occasion: (n,) codes. Statistic: sum over arms of (seen - expected)^2 /
    expected.
    """
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
