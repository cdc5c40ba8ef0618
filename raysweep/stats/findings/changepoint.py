"""The change point over ordered multipliers: up to where a higher limit only saves trials that then fail all the same.

Belongs here: which bands are ordered and complete, their multipliers, labels and cautions. Does not: the set itself
(`methods.changepoint`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.methods.changepoint import ChangePoint, change_point
from raysweep.stats.methods.interval import ONE_TASK, Draws
from raysweep.stats.methods.trend import LEAST_ORDERED

RESOURCES = ("memory", "cpu", "storage")
NAMED = re.compile(r"(\d+(?:\.\d+)?)x")


@dataclass(frozen=True, slots=True)
class Ordered:
    """Bands of one model in the sweep's ascending order that have data, and the blocks complete in all of them.

    columns: of the cube; rows: (n,) mask; absent: ordered bands without a trial that has a result.
    """

    model: str
    bands: tuple[str, ...]
    columns: tuple[int, ...]
    rows: Bools
    absent: tuple[str, ...]

    def means(self, cube: Cube, values: Floats) -> Floats:
        """Task means of `values` (n, A) over the complete blocks, (T', bands); only tasks that have one."""
        every = [cube.task_means(values[:, c], self.rows)[0] for c in self.columns]
        stacked = np.stack(every, axis=1) if every else np.zeros((len(cube.tasks), 0))
        return np.asarray(stacked[np.isfinite(stacked).all(axis=1)], dtype=np.float64)

    def cautions(self) -> tuple[Caution, ...]:
        """What is missing."""
        cautions = []
        if self.absent:
            message = f"no trial with a result at {', '.join(self.absent)}: left out of the order"
            cautions.append(Caution("missing_arm", message, "run these bands, or take them out of the sweep"))
        if len(self.bands) < LEAST_ORDERED:
            message = f"{len(self.bands)} ordered bands with data: at least {LEAST_ORDERED} are needed"
            cautions.append(Caution("few_bands", message, "run more bands"))
        elif not self.rows.any():
            cautions.append(Caution("no_blocks", "no block has a result in every band", "let the run go on"))
        return tuple(cautions)


def ordered(cube: Cube, design: Design, model: str) -> Ordered | None:
    """The ordered bands of a model; None where the sweep orders less than three, so that nobody asks for a trend."""
    stated = [b for b in cube.bands(model) if b in design.bands]
    if len(stated) < LEAST_ORDERED:
        return None
    seen = [b for b in stated if np.isfinite(cube.y[:, cube.column(model, b)]).any()]
    columns = tuple(cube.column(model, b) for b in seen)
    rows = np.isfinite(cube.y[:, columns]).all(axis=1) & bool(columns)
    return Ordered(model, tuple(seen), columns, np.asarray(rows, np.bool_), tuple(b for b in stated if b not in seen))


def change_points(cube: Cube, table: pa.Table, design: Design, how: Draws) -> Iterator[Finding]:
    """One Finding per model with at least three ordered bands: estimand "change_point", in multiples of the spec.

    value: the multiplier when the set holds one band and that has a number, else None; low, high: the smallest and
    largest number in the set (uncapped has none); facet: the bands of the set. table: labelled attempts,
    for the multipliers.
    """
    multipliers = multiples(table, design.bands)
    for model in cube.models:
        bands = ordered(cube, design, model)
        if bands is not None:
            yield _finding(cube, bands, multipliers, how)


def failed(cube: Cube) -> Floats:
    """Share of each trial that was scored and failed, (n, A): 1 - y - q, nan where y is missing."""
    return 1.0 - cube.y - cube.q


def multiples(table: pa.Table, bands: tuple[str, ...]) -> dict[str, float]:
    """Limit of each band as a multiple of the task's spec, for the first resource that the bands tell apart.

    A band without a limit has none. A ledger without multipliers: the number of a band named like "1.5x".
    """
    for resource in RESOURCES:
        name = f"limit_{resource}_mult"
        if name in table.column_names:
            rows = table.group_by("band").aggregate([(name, "min")]).to_pylist()
            limits = {r["band"]: r[f"{name}_min"] for r in rows if r["band"] in bands}
            if len(set(limits.values())) > 1:
                return {band: float(m) for band, m in limits.items() if m is not None}
    matches = {band: NAMED.fullmatch(band) for band in bands}
    return {band: float(m.group(1)) for band, m in matches.items() if m is not None}


def _finding(cube: Cube, bands: Ordered, multipliers: dict[str, float], how: Draws) -> Finding:
    cautions = list(bands.cautions())
    f = bands.means(cube, failed(cube))
    died = any(bool(np.any(cube.q[bands.rows, c] > 0)) for c in bands.columns)
    if len(f) == 1:
        cautions.append(ONE_TASK)
    elif len(f) and not died:
        message = "infrastructure ended no trial in any band: there is no change to look for"
        cautions.append(Caution("no_deaths", message, "add a band with a lower limit"))
    if len(f) < 2 or not died or len(bands.bands) < LEAST_ORDERED:
        return _plain(cube, bands, how, "none", tuple(cautions))
    point = change_point(f.mean(axis=0), how.sums(f) / len(f), how.level, units=len(f))
    names = [bands.bands[m] for m in point.members]
    numbers = [multipliers[n] for n in names if n in multipliers]
    shares = ", ".join(f"{b} {100 * m:.1f} %" for b, m in zip(bands.bands, f.mean(axis=0).tolist(), strict=True))
    method = f"bands that one-sided max-t bounds cannot exclude from the largest share of failed trials ({shares})"
    return _plain(
        cube, bands, how, method, (*cautions, *_what_it_lacks(bands, point, names, numbers)),
        value=numbers[0] if len(names) == 1 and numbers else None,
        low=min(numbers, default=None),
        high=max(numbers, default=None),
        facet=Facet(FacetKind.BANDS, tuple(names)),
    )  # fmt: skip


def _what_it_lacks(bands: Ordered, point: ChangePoint, names: list[str], numbers: list[float]) -> Iterator[Caution]:
    if len(names) > 1:
        message = f"the data cannot tell which of {', '.join(names)} it is; the largest share was at "
        yield Caution("several", message + bands.bands[point.peak], "more tasks or repeats narrow the set")
    elif not numbers:
        yield Caution("no_number", f"{names[0]} has no multiplier", "add bands between it and the one below")
    if point.peak in {0, len(bands.bands) - 1}:
        message = f"the largest share is at the end of the order, {bands.bands[point.peak]}"
        yield Caution("at_the_end", f"{message}: the change point may lie beyond the bands", "add bands beyond it")


def _plain(
    cube: Cube,
    bands: Ordered,
    how: Draws,
    method: str,
    cautions: tuple[Caution, ...],
    *,
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    facet: Facet | None = None,
) -> Finding:
    return Finding(
        estimand="change_point",
        model=bands.model,
        arm=None,
        reference=None,
        bucket=None,
        facet=facet,
        value=value,
        low=low,
        high=high,
        level=how.level,
        method=method,
        resampled_over="tasks",
        n_tasks=len(np.unique(cube.task[bands.rows])),
        n_attempts=int(bands.rows.sum()) * len(bands.columns),
        n_dates=cube.n_dates(bands.rows),
        warnings=cautions,
    )
