"""The success contrasts of a model taken together: intervals that hold for a whole family at once.

Belongs here: which contrasts form a family, labels. Does not: the bands (`methods.simultaneous`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.contrast import contrast_finding
from raysweep.stats.findings.pair import Pair, mean_ask, pair
from raysweep.stats.methods.interval import Asked, Draws, Interval, linearised, ratio_draws, t_interval
from raysweep.stats.methods.simultaneous import max_t


@dataclass(frozen=True, slots=True)
class Member:
    """One contrast of a family: arm against reference, and its blocks."""

    model: str
    arm: str
    reference: str
    pair: Pair


def together(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Per model with two or more contrasts: success of each band against the reference, facet SIMULTANEOUS.

    The registered contrasts are a family of their own; the others one with all, as for the adjusted p of
    `significance`. All intervals of a family hold together at the level.
    """
    for model in cube.models:
        if design.reference not in cube.bands(model):
            continue
        every = [
            Member(model, band, design.reference, pair(cube, cube.y, *columns, cube.in_bucket(None)))
            for band in cube.bands(model)
            if band != design.reference
            for columns in [(cube.column(model, band), cube.column(model, design.reference))]
        ]
        own = [m for m in every if is_registered(design, "success", m.arm, m.reference, None)]
        yield from (replace(f, registered=True) for f in family(own, how))
        if len(own) < len(every):
            names = {m.arm for m in own}
            yield from (f for f in family(every, how) if f.arm not in names)


def between(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Per model success of every band against every lower one but the reference, facet BETWEEN, adjacent bands first.

    All pairs of a model hold together; contrasts against the reference are a family of their own (`together`).
    """
    for model in cube.models:
        bands = [b for b in cube.bands(model) if b != design.reference]
        pairs = [(low, high) for step in range(1, len(bands)) for low, high in zip(bands, bands[step:], strict=False)]
        members = [
            Member(model, high, low, pair(cube, cube.y, *columns, cube.in_bucket(None)))
            for low, high in pairs
            for columns in [(cube.column(model, high), cube.column(model, low))]
        ]
        yield from (replace(f, facet=Facet(FacetKind.BETWEEN)) for f in family(members, how, least=1))


def family(members: Sequence[Member], how: Draws, least: int = 2) -> Iterator[Finding]:
    """Intervals of contrasts that hold together at how.level; nothing for fewer than `least`.

    Max-t bands from the draws that every interval shares. A contrast whose events are too few for a bootstrap, or whose
    tasks have no spread, has its own method at the level 1 - alpha / m of Bonferroni, and the bands leave it that share
    of the error: their level is 1 - alpha x (contrasts in them) / m.
    """
    with_data = [m for m in members if m.pair.complete.any()]
    if len(members) < least:
        return
    alpha, size = 1 - how.level, len(members)
    asks = [mean_ask(m.pair, 1 - alpha / size) for m in with_data]
    drawn = [i for i, a in enumerate(asks) if a.asked is not None]
    bands = _bands([a.asked for a in asks if a.asked is not None], how, alpha / size) if drawn else {}
    found = {drawn[i]: interval for i, interval in bands.items()}
    for i, (m, ask) in enumerate(zip(with_data, asks, strict=True)):
        interval = found.get(i) or ask.interval
        if interval is None and ask.asked is not None:
            interval = t_interval(linearised(ask.asked), 1 - alpha / size)
        if interval is None or interval.low is None:
            continue
        kind = "" if i in found else f"{interval.method} at {100 * (1 - alpha / size):.4g} %, "
        method = f"{kind or 'max-t band, '}simultaneous over {size} contrasts of the model"
        label: dict[str, str | None] = {"estimand": "success", "model": m.model, "arm": m.arm}
        label |= {"reference": m.reference, "bucket": None}
        yield contrast_finding(
            m.pair, label, ask.value, replace(interval, method=method), how.level, facet=Facet(FacetKind.SIMULTANEOUS)
        )


def _bands(asked: Sequence[Asked], how: Draws, share: float) -> dict[int, Interval]:
    """Max-t bands by place in `asked`, of those whose draws have a spread; share: the error of each contrast."""
    draws = ratio_draws(asked, how)
    usable = [i for i, row in enumerate(draws) if np.isfinite(row).all() and float(np.std(row)) > 0]
    units = [int(np.sum(asked[i][0].use)) for i in usable]
    if not usable or min(units) < 2:
        return {}
    values = np.array([asked[i][0].value or 0.0 for i in usable])
    joint = max_t(values, draws[usable].T, 1 - share * len(usable), units=min(units))
    return {
        i: Interval(float(joint.low[column]), float(joint.high[column]), "max-t band")
        for column, i in enumerate(usable)
        if joint.used[column]
    }
