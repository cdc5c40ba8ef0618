"""The success contrasts of a model taken together: max-t bands that hold for all its bands at once, for the picture.

Belongs here: which contrasts form a family, labels. Does not: the bands (`methods.simultaneous`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.pair import is_binary, pair, rare
from raysweep.stats.methods.interval import Draws, Interval
from raysweep.stats.methods.simultaneous import max_t


def together(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Per model with two or more contrasts: success of each band against the reference, facet SIMULTANEOUS.

    All bands of a family hold together at the level, from the draws that every interval shares, over the tasks with a
    complete block in each of them. A contrast whose events are too few for a bootstrap, or that has no spread, is left
    out: its own finding says so.
    """
    for model in cube.models:
        bands = [b for b in cube.bands(model) if b != design.reference] if design.reference in cube.bands(model) else []
        yield from _family(cube, design, how, model, bands)


def _family(cube: Cube, design: Design, how: Draws, model: str, bands: list[str]) -> Iterator[Finding]:
    reference = cube.column(model, design.reference) if bands else 0
    pairs = [(b, pair(cube, cube.y, cube.column(model, b), reference, cube.in_bucket(None))) for b in bands]
    pairs = [(b, p) for b, p in pairs if p.complete.any()]
    pairs = [
        (b, p)
        for b, p in pairs
        if not (
            is_binary(p.arm[p.complete], p.reference[p.complete]) and rare(p.arm[p.complete], p.reference[p.complete])
        )
    ]
    if len(pairs) < 2:
        return
    means = np.stack([cube.task_means(p.difference, p.complete)[0] for _, p in pairs], axis=1)
    means = means[np.isfinite(means).all(axis=1)]
    units = len(means)
    if units < 2:
        return
    joint = max_t(means.mean(axis=0), how.sums(means) / units, how.level, units=units)
    family = int(joint.used.sum())
    for column, (band, p) in enumerate(pairs):
        if joint.used[column] and family > 1:
            method = f"max-t band, simultaneous over {family} contrasts of the model"
            interval = Interval(float(joint.low[column]), float(joint.high[column]), method)
            label: dict[str, str | None] = {"estimand": "success", "model": model, "arm": band}
            label |= {"reference": design.reference, "bucket": None}
            plain = contrast_finding(
                p,
                label,
                float(means[:, column].mean()),
                interval,
                how.level,
                facet=Facet(FacetKind.SIMULTANEOUS),
            )
            yield replace(plain, n_tasks=units)
