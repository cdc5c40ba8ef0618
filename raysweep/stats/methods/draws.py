"""Bootstrap draws over tasks: one shared matrix of counts for every arm, estimand and bucket of an analysis.

Chunks have a fixed shape and one SeedSequence child each, so that the same seed gives the same bits on one worker or
fifty; `map` decides where the chunks run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from raysweep import seeds
from raysweep.stats.arrays import Floats

CHUNK = 500
"""Draws per chunk: 500 x 89 x 8 B = 0.4 MB, small beside any cache and large enough for one matrix product."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Map(Protocol):
    """`builtins.map`, an executor's map, or a Ray one: results in the order of the items."""

    def __call__(self, function: Callable[[_In], _Out], items: Iterable[_In], /) -> Iterator[_Out]:
        """Results in order."""
        ...


def weights(child: np.random.SeedSequence, tasks: int) -> Floats:
    """Counts of a multinomial draw of `tasks` from `tasks`, (CHUNK, tasks); each row sums to `tasks`."""
    rng = np.random.Generator(np.random.PCG64(child))
    drawn = rng.integers(0, tasks, size=(CHUNK, tasks))
    drawn += np.arange(CHUNK)[:, None] * tasks
    counts = np.bincount(drawn.ravel(), minlength=CHUNK * tasks)
    return counts.reshape(CHUNK, tasks).astype(np.float64)


def matrix(tasks: int, *, seed: int, draws: int, map: Map = map) -> list[Floats]:  # noqa: A002 - the guide's name
    """The chunks of W for `tasks` tasks: `draws` draws, rounded up to whole chunks; the same bits whatever `map` is."""
    children = seeds.sequence(seed, "stats", "tasks").spawn(-(-draws // CHUNK))
    return list(map(partial(_chunk, tasks), children))


def _chunk(tasks: int, child: np.random.SeedSequence) -> Floats:
    """One chunk of W; a module function, so that process pools can carry it."""
    return weights(child, tasks)


def replicates(chunks: list[Floats], columns: Floats) -> Floats:
    """W @ columns: the task sums of each column, (R, C), chunk by chunk; columns: (T, C), finite."""
    return np.concatenate([w @ columns for w in chunks])
