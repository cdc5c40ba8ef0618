"""Bootstrap draws over tasks: one shared matrix of counts for every arm, estimand and bucket of an analysis.

Belongs here: how often each task is in each draw, sums of task values under the draws, quantiles of them. Does not: any
interval. Chunks have a fixed shape and one SeedSequence child each; `map` decides where they are drawn. Values are
rounded to a binary grid on which every product and partial sum is exact, so that the same seed gives the same bits on
one worker or fifty, with one BLAS thread or many, with or without fused multiply-add, a column alone or beside others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from raysweep import seeds
from raysweep.stats.arrays import Floats

CHUNK = 500
"""Draws per chunk: as floats 500 x 89 x 8 B = 0.4 MB, small beside any cache and enough for one matrix product."""

ONE_THREAD, ONE_THREAD_VECTOR = 2**18, 2**13
"""Multiply-adds up to which OpenBLAS keeps a product of matrices, or of a matrix and a vector, on one thread."""

Counts: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Map(Protocol):
    """`builtins.map`, an executor's map, or a Ray one: results in the order of the items."""

    def __call__(self, function: Callable[[_In], _Out], items: Iterable[_In], /) -> Iterator[_Out]:
        """Results in order."""
        ...


def counts(tasks: int, child: np.random.SeedSequence) -> Counts:
    """How often each of `tasks` tasks is in each draw of as many, (CHUNK, tasks); each row sums to `tasks`.

    A module function, so that process pools can carry it.
    """
    rng = np.random.Generator(np.random.PCG64(child))
    narrow = np.uint16 if tasks <= np.iinfo(np.uint16).max else np.uint32
    drawn = rng.integers(0, tasks, size=(CHUNK, tasks), dtype=narrow) + np.arange(CHUNK)[:, None] * tasks
    found = np.bincount(drawn.ravel(), minlength=CHUNK * tasks)
    return found.astype(np.min_scalar_type(tasks)).reshape(CHUNK, tasks)


def chunks(tasks: int, *, seed: int, draws: int, map: Map = map) -> Iterator[Counts]:  # noqa: A002 - the guide's name
    """The chunks of W for `tasks` tasks, one at a time: `draws` draws, rounded up to whole chunks.

    The same bits whatever `map` is.
    """
    return map(partial(counts, tasks), seeds.sequence(seed, "stats", "tasks").spawn(whole(draws)))


def whole(draws: int) -> int:
    """Number of chunks that hold `draws` draws."""
    return -(-draws // CHUNK)


def on_grid(columns: Floats, most: int) -> Floats:
    """`columns` (T, C) rounded so that every sum of up to `most` of a column's values is exact in any order.

    With most = 89 the step is 2^-46 of the column's largest value: 1e-14 of it.
    """
    _, exponent = np.frexp(np.abs(columns).max(axis=0, initial=0.0))
    shift = 53 - most.bit_length() - exponent
    return np.asarray(np.ldexp(np.rint(np.ldexp(columns, shift)), -shift), dtype=np.float64)


def column_sums(chunks: Iterable[Counts], columns: Floats, draws: int) -> Floats:
    """Sums of each column under each draw, (C, draws), contiguous by column; columns: (T, C), finite.

    draws: those that `chunks` hold together. Beside the result only one chunk is held.
    """
    turned = np.ascontiguousarray(on_grid(columns, len(columns)).T)
    sums = np.empty((len(turned), draws))
    at = 0
    for chunk in chunks:
        _product(turned, chunk.astype(np.float64), sums[:, at : at + len(chunk)])
        at += len(chunk)
    return sums


def _product(turned: Floats, weights: Floats, out: Floats) -> None:
    """Into `out` (C, R): turned (C, T) times weights (R, T), in blocks that BLAS does on the calling thread.

    A product over threads waits for all of them at each chunk: on a busy machine that took ten times as long.
    """
    width, depth = len(turned), min(turned.shape[1], 256)
    columns = min(width, math.isqrt(ONE_THREAD // depth))
    rows = max(8, (ONE_THREAD if width > 1 else ONE_THREAD_VECTOR) // (columns * depth) // 8 * 8)
    for i in range(0, width, columns):
        left = turned[i : i + columns]
        for j in range(0, len(weights), rows):
            right, part = weights[j : j + rows], out[i : i + columns, j : j + rows]
            np.matmul(left[:, :depth], right[:, :depth].T, out=part)
            for k in range(depth, turned.shape[1], depth):
                part += left[:, k : k + depth] @ right[:, k : k + depth].T


def tails(draws: Floats, probability: float) -> tuple[Floats, Floats]:
    """Quantiles at `probability` (below 0.5) and at its mirror of each row of `draws` (C, R), R > 1, reordering them.

    Interpolated as numpy does by default (Hyndman & Fan 1996, type 7), and mirrored exactly: the tails of -draws are
    the negated tails of draws. Two selections, one from each end, are far quicker than sorting.
    """
    size = draws.shape[1]
    place = probability * (size - 1)
    k, part = int(place), place - int(place)
    if size < 2 * k + 4:
        draws.sort(axis=1)
        ends = draws[:, k], draws[:, k + 1], draws[:, -k - 1], draws[:, -k - 2]
    else:
        draws.partition(k + 1, axis=1)
        rest, top = draws[:, k + 2 :], size - 2 * k - 4
        rest.partition(top, axis=1)
        ends = draws[:, : k + 1].max(axis=1), draws[:, k + 1], rest[:, top + 1 :].min(axis=1), rest[:, top]
    outer_low, inner_low, outer_high, inner_high = ends
    return outer_low + part * (inner_low - outer_low), outer_high - part * (outer_high - inner_high)
