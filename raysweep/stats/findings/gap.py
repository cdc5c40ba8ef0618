"""A minus B as task x date cells: two models of one run (paired within blocks), or two runs (each with its own dates).

Belongs here: pairing and averaging rewards over common tasks and bands. Does not: intervals, verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.findings.dates import date_grid
from raysweep.stats.methods.twoway import Grid


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One of the two: `model` of `cube`, under the name by which a reader knows it. One run: both have one cube."""

    label: str
    cube: Cube
    model: str

    def rewards(self, band: str) -> Floats:
        """Rewards (n,) of a band, nan = no result."""
        return self.cube.y[:, self.cube.column(self.model, band)]

    def tried(self, band: str) -> Bools:
        """Blocks (n,) in which the band has a final row."""
        return self.cube.present[:, self.cube.column(self.model, band)]


def common_tasks(a: ComparedModel, b: ComparedModel) -> tuple[str, ...]:
    """Tasks that both runs hold, by name, in ascending order."""
    return tuple(sorted(set(a.cube.tasks) & set(b.cube.tasks)))


def common_bands(a: ComparedModel, b: ComparedModel) -> tuple[str, ...]:
    """Bands that both models have, by name, in the order of A."""
    return tuple(band for band in a.cube.bands(a.model) if band in b.cube.bands(b.model))


@dataclass(frozen=True, slots=True)
class DateCells:
    """A contrast as one set of dates shows it: cells (T, D), means (T,), nan without a block, attempts (T,)."""

    grid: Grid
    means: Floats
    attempts: Ints


def total(parts: Sequence[DateCells]) -> Floats:
    """Task contrasts (T,): the sum over the parts."""
    return np.asarray(np.sum([p.means for p in parts], axis=0), dtype=np.float64)


def pooled_parts(bands: Sequence[Sequence[DateCells]]) -> list[DateCells]:
    """Parts of the mean over bands, with equal weight; a cell counts where every band has a block in it."""
    pooled = []
    for parts in zip(*bands, strict=True):
        counts = np.stack([p.grid.counts for p in parts])
        values = np.stack([p.grid.values for p in parts]).mean(axis=0)
        cells = Grid(values, np.where((counts > 0).all(axis=0), counts.sum(axis=0), 0))
        means = np.stack([p.means for p in parts]).mean(axis=0)
        pooled.append(DateCells(cells, means, np.sum([p.attempts for p in parts], axis=0)))
    return pooled


@dataclass(frozen=True, slots=True)
class Both:
    """The two sides on their common tasks, with the places of those in either cube."""

    a: ComparedModel
    b: ComparedModel
    in_a: tuple[int, ...]
    in_b: tuple[int, ...]

    @property
    def one_run(self) -> bool:
        """Both models ran in the same blocks."""
        return self.a.cube is self.b.cube

    def parts(self, band_a: str, band_b: str, missing: float | None = None) -> list[DateCells]:
        """A at one band minus B at another: one part within a run (complete blocks), else A, and B with its sign.

        missing: what a trial of A counts that was tried and has no result (B's counts 1 - missing); None: left out.
        """
        a, b = self.a.rewards(band_a), self.b.rewards(band_b)
        if missing is not None:
            tried_a, tried_b = self.a.tried(band_a), self.b.tried(band_b)
            if self.one_run:
                tried_a = tried_b = tried_a | tried_b
            a = np.where(tried_a & np.isnan(a), missing, a)
            b = np.where(tried_b & np.isnan(b), 1 - missing, b)
        if self.one_run:
            return [_part(self.a.cube, a - b, self.in_a, 2)]
        return [_part(self.a.cube, a, self.in_a, 1), _part(self.b.cube, -b, self.in_b, 1)]

    def lost(self, bands: Sequence[str]) -> tuple[int, int]:
        """Trials tried at these bands on common tasks that have no result, and all that were tried."""
        lost = tried = 0
        for side, places in ((self.a, self.in_a), (self.b, self.in_b)):
            here = np.isin(side.cube.task, places)
            for band in bands:
                there = here & side.tried(band)
                tried += int(there.sum())
                lost += int(np.sum(there & np.isnan(side.rewards(band))))
        return lost, tried


def _part(cube: Cube, values: Floats, places: tuple[int, ...], arms: int) -> DateCells:
    everything, rows = np.ones(len(values), dtype=bool), list(places)
    grid, (means, counts) = date_grid(cube, values, everything), cube.task_means(values, everything)
    return DateCells(Grid(grid.values[rows], grid.counts[rows]), means[rows], arms * counts[rows])
