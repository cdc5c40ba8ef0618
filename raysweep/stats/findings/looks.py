"""Planned looks at a sweep as Findings: repeated confidence intervals of the registered contrasts, date by date.

How much error a look may spend goes by complete dates over planned dates, because the largest information that a sweep
can reach is not known when it is registered; how looks hang together goes by the information they really have, 1 /
Var(estimate) with tasks sampled, from three dates on with dates sampled, too. So neither a noisy start nor effects that
vary between tasks can inflate the error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raysweep.stats.arrays import Bools
from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.design import PRIMARY_OF, Design, is_registered
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.contrast import points
from raysweep.stats.findings.progress import CompleteDates
from raysweep.stats.findings.sample import ContrastSample, infra_sample, sample
from raysweep.stats.levels import reference_part
from raysweep.stats.methods.interval import NO_SPREAD, ONE_TASK
from raysweep.stats.methods.sequential import boundaries, look_dates, obrien_fleming, rising
from raysweep.stats.methods.twoway import LEAST_DATES

TOO_EARLY = Caution(
    "early_look", "so early a look may spend next to no error, so it cannot decide anything", "wait for the next look"
)


@dataclass(frozen=True, slots=True)
class Look:
    """One planned look (1, 2, ...), after how many complete dates, and the registered contrasts at it."""

    number: int
    dates: int
    findings: tuple[Finding, ...]


def looks(
    table: pa.Table, planned: pa.Table, design: Design, at: CompleteDates, cube: Cube | None = None
) -> tuple[Look, ...]:
    """Every planned look that the complete dates allow, in order, each on the data of its own dates; () without looks.

    Findings have the facet of their look, value and repeated interval in points over tasks; all intervals of a model's
    registered contrasts hold together at design.confidence, whenever and why ever the sweep ends. The tables may have
    their labels already; cube: theirs, where it is at hand.
    """
    after = [n for n in look_dates(at.dates, min(design.looks, at.dates)) if n <= at.closed]
    if not after:
        return ()
    if "_model" not in table.column_names or "_model" not in planned.column_names:
        whole = usable(table, planned)
        table, planned = whole.table, whole.planned
    table, cube = reference_part(table, build_cube(table, planned, design) if cube is None else cube, design)
    blocks = pa.array(list(cube.blocks), pa.string())
    seen = [_samples(cube, at.within(blocks, n), _attempts(table, at, n, design), design) for n in after]
    families = Counter(model for model, _ in seen[0])
    columns = [_contrast(key, [s[key] for s in seen], after, at.dates, design, families[key[0]]) for key in seen[0]]
    return tuple(Look(j + 1, n, tuple(c[j] for c in columns)) for j, n in enumerate(after) if columns)


_Key = tuple[str, str]
"""Model and band."""


ATTEMPTS = ("block_id", "task", "_model", "band", "outcome", "cause_class")
"""What a rate over attempts reads."""


def _attempts(table: pa.Table, at: CompleteDates, dates: int, design: Design) -> pa.Table | None:
    """The attempts of a look where the primary is a rate over them."""
    if design.primary != "infra_rate":
        return None
    return table.select(ATTEMPTS).filter(pa.array(at.within(table["block_id"], dates)))


def _samples(cube: Cube, rows: Bools, attempts: pa.Table | None, design: Design) -> dict[_Key, ContrastSample]:
    """The registered contrasts on the blocks `rows` (and `attempts`) of one look."""
    primary = PRIMARY_OF.get(design.primary, design.primary)
    keys = [
        (model, band)
        for model in cube.models
        for band in cube.bands(model)
        if design.reference in cube.bands(model) and is_registered(design, primary, band, design.reference, None)
    ]
    if attempts is None:
        return {(m, b): sample(cube, rows, primary, m, (b, design.reference)) for m, b in keys}
    return {(m, b): infra_sample(attempts, m, (b, design.reference), cube.n_dates(rows)) for m, b in keys}


def _contrast(
    key: _Key, samples: Sequence[ContrastSample], after: Sequence[int], dates: int, design: Design, family: int
) -> list[Finding]:
    """One contrast at every look; looks whose noise cannot be estimated spend nothing.

    family: the registered contrasts of the model, each of which spends its share of the error (Bonferroni).
    """
    alpha = (1 - design.confidence) / family
    able = [j for j, s in enumerate(samples) if s.value is not None and s.se > 0]
    information = rising([1 / samples[j].se ** 2 for j in able])
    limits = boundaries(information, [obrien_fleming(after[j] / dates, alpha) for j in able])
    bounds = dict(zip(able, limits, strict=True))
    return [_finding(key, j, s, bounds.get(j, math.inf), design, family) for j, s in enumerate(samples)]


def _finding(key: _Key, index: int, s: ContrastSample, boundary: float, design: Design, family: int) -> Finding:
    interval = s.interval(boundary)
    low, high = (None, None) if interval is None else interval
    look = f"at look {index + 1} of {design.looks}"
    together = f", over {family} registered contrasts" if family > 1 else ""
    made = f"repeated interval {look}{together}: |z| {boundary:.3f}, O'Brien-Fleming-type spending, {s.method}"
    return Finding(
        estimand=PRIMARY_OF.get(design.primary, design.primary),
        model=key[0],
        arm=key[1],
        reference=design.reference,
        bucket=None,
        facet=Facet(FacetKind.LOOK, index + 1),
        value=points(s.value),
        low=points(low),
        high=points(high),
        level=design.confidence,
        method=f"none {look}" if interval is None else made,
        resampled_over=s.over,
        n_tasks=len(s.values),
        n_attempts=s.attempts,
        n_dates=s.dates,
        registered=True,
        warnings=tuple(_why_none(s)) if interval is None else tuple(_few_dates(s)),
    )


def _few_dates(s: ContrastSample) -> Iterator[Caution]:
    if s.dates < LEAST_DATES:
        text = f"{s.dates} date{'' if s.dates == 1 else 's'} cannot tell how much another date would differ"
        yield Caution("few_dates", text, f"plan the first look after {LEAST_DATES} dates or later")


def _why_none(s: ContrastSample) -> Iterator[Caution]:
    if s.value is None:
        yield Caution("no_pairs", "no block has a result in both arms", "run the missing arm, or let the run go on")
    elif len(s.values) < 2:
        yield ONE_TASK
    else:
        yield TOO_EARLY if s.se > 0 else NO_SPREAD
