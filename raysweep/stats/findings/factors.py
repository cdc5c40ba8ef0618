"""Contrasts of factors other than the band: every level against its reference, and whether levels were what they say.

Each factor is looked at alone: all others at their reference, under one band at a time. The contrasts are made as those
of bands are, and every Finding names the factor that moved: it is the facet, `arm` and `reference` are the band
with the level ("1x [agent_timeout=2x]", "1x [agent_timeout=1x]"). At the reference band they may be registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools
from raysweep.stats.columns import numbers, pairs
from raysweep.stats.cube import MOVED, Cube
from raysweep.stats.design import Design, Swept
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Check, Finding
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.dates import date_contrasts
from raysweep.stats.findings.rates import arm_rates, infra_contrasts, infra_rates
from raysweep.stats.findings.significance import contrast_tests, significance
from raysweep.stats.levels import along, called, is_moved, moved_arms, only, reference_part, rows_along
from raysweep.stats.methods.interval import Draws
from raysweep.vocabulary import CheckStatus

NEEDED = ("task", "_model", "band", "outcome", "cause_class")
"""Columns of a labelled ledger that rates and counts over attempts read."""
HELD = 0.8
"""Share of a level's number of trials that must be in flight on average for the level to be called that load."""


def registered_family(table: pa.Table, cube: Cube, design: Design, how: Draws) -> tuple[Finding, ...]:
    """The tests alone of all registered contrasts, where levels are among them: they are adjusted together.

    Else nothing: bands are a family by themselves. table: all attempts, labelled; cube: of all arms.
    """
    if not design.registered or not design.level_contrasts:
        return ()
    bands, at_reference = reference_part(table, cube, design)
    tests = list(contrast_tests(at_reference, bands, design, how))
    for factor in design.factors:
        part, own = along(cube, factor, design.reference), _own_design(design, factor, design.reference)
        if own.registered and len(part.arms) > 1:
            rows = rows_along(table.select(NEEDED), cube, factor, design.reference)
            tests += contrast_tests(part, rows, own, how)
    return tuple(f for f in tests if f.registered)


def _own_design(design: Design, factor: Swept, band: str) -> Design:
    """The design of one factor under one band, in which levels stand where bands stand elsewhere."""
    levels = dict(design.level_contrasts).get(factor.name, ()) if band == design.reference else ()
    return replace(
        design,
        reference=called(band, factor, factor.reference),
        bands=(),
        contrasts=tuple(called(band, factor, level) for level in levels),
        registered=design.registered and bool(levels),
    )


def factor_findings(
    table: pa.Table, cube: Cube, design: Design, how: Draws, family: Sequence[Finding] = ()
) -> Iterator[Finding]:
    """Contrasts of every swept factor, and rates of the arms that are not at all references.

    table: all attempts, labelled; cube: of all arms; family: see `significance`.
    """
    if not design.factors:
        return
    counted = table.select(NEEDED)
    for factor in design.factors:
        cautions = not_honoured(table, factor)
        for band in dict.fromkeys(a.band for a in cube.arms if is_moved(a.model)):
            part = along(cube, factor, band)
            if len(part.arms) < 2:
                continue
            rows = rows_along(counted, cube, factor, band)
            for f in _contrasts(rows, part, _own_design(design, factor, band), how, family):
                yield replace(f, facet=Facet(FacetKind.FACTOR, factor.name), warnings=(*cautions, *f.warnings))
    moved = only(cube, moved_arms(cube))
    yield from arm_rates(moved, how)
    yield from infra_rates(counted.filter(pc.match_substring(counted["_model"], MOVED)), moved, how)


def _contrasts(rows: pa.Table, part: Cube, design: Design, how: Draws, family: Sequence[Finding]) -> Iterator[Finding]:
    yield from band_contrasts(part, design, how)
    yield from date_contrasts(part, design, how)
    yield from infra_contrasts(rows, part, design, how)
    yield from significance(part, rows, design, how, family)


def not_honoured(table: pa.Table, factor: Swept) -> tuple[Caution, ...]:
    """What keeps a contrast of egress from being one, by what the sandboxes say of their bounds."""
    if factor.name != "egress":
        return ()
    stated = set(_stated(table, "egress"))
    doubts = {
        "not honoured": Caution(
            "not_honoured",
            "the sandbox does not bound egress: the levels differ by their names alone",
            "read this contrast as noise; run on a platform that bounds egress",
        ),
        "unknown": Caution(
            "maybe_not_honoured",
            "the bound on egress was asked of the cluster's network, which does not say whether it honours it",
            "measure the bandwidth inside a pod; it takes the CNI's bandwidth plug-in",
        ),
        "no network": Caution(
            "no_network",
            "trials had no network, so that a bound on egress changes nothing for them",
            "sweep egress over tasks that have network",
        ),
    }
    return tuple(caution for value, caution in doubts.items() if value in stated)


def factor_checks(table: pa.Table, design: Design) -> Iterator[Check]:
    """Were the levels what they are called? table: all attempts, labelled."""
    for factor in design.factors if len(table) else ():
        for caution in not_honoured(table, factor):
            status = CheckStatus.WARNING if caution.code == "not_honoured" else CheckStatus.NOTE
            yield Check(caution.code, status, f"{factor.name}: {caution.message}", caution.remedy)
        if factor.name == "concurrency":
            yield from _load(table, factor)
        if factor.name == "node_type":
            yield from _nodes(table, factor)


def _stated(table: pa.Table, key: str) -> list[str]:
    """The values that attempts tell under a key of the column `enforcement`."""
    names, values = pairs(table["enforcement"])
    return [v for v in values.filter(pc.equal(names, key)).unique().to_pylist() if v is not None]


def _load(table: pa.Table, factor: Swept) -> Iterator[Check]:
    """How many attempts were in flight while those of a level ran, these counted in; by time."""
    spans = np.stack([numbers(table[name]) for name in ("t_queued", "t_stopped")])
    known = np.isfinite(spans).all(axis=0)
    if not known.any():
        return
    times = np.unique(spans[:, known])
    began, ended = (np.sort(side[known]) for side in spans)
    flying = np.searchsorted(began, times, side="right") - np.searchsorted(ended, times, side="right")
    area = np.append(0.0, np.cumsum(flying[:-1] * np.diff(times)))
    said, low, high = [], [], []
    for level in factor.levels:
        first, last = spans[:, _of_level(table, factor, level) & known]
        if float(np.sum(last - first)) <= 0 or not factor.values:
            continue
        mean = float(np.sum(np.interp(last, times, area) - np.interp(first, times, area)) / np.sum(last - first))
        most, wanted = int(flying[np.searchsorted(times, first)].max()), factor.value(level)
        said.append(f"{level} {mean:.1f} of {wanted}")
        low += [level] if mean < HELD * wanted else []
        high += [level] if most > wanted else []
    message = f"attempts in flight while those of a level ran, on average: {', '.join(said)}"
    if high:
        remedy = "do not use these contrasts; report it as a bug of raysweep, if no second driver was at work"
        yield Check(
            "load_exceeded", CheckStatus.WARNING, f"{message}; {', '.join(high)} had more than it is called", remedy
        )
    if low:
        remedy = "more blocks in an occasion keep the load up; read the level as what was in flight"
        yield Check(
            "load_not_held", CheckStatus.NOTE, f"{message}; {', '.join(low)} had less than it is called", remedy
        )
    elif said and not high:
        yield Check("load_held", CheckStatus.OK, message, "")


def _nodes(table: pa.Table, factor: Swept) -> Iterator[Check]:
    """Nodes that served more than one level."""
    seen: dict[str, set[str]] = {}
    for level in factor.levels:
        names, values = pairs(table.filter(pa.array(_of_level(table, factor, level)))["node"])
        for node in values.filter(pc.equal(names, "name")).unique().to_pylist():
            seen.setdefault(str(node), set()).add(level)
    both = sorted(node for node, levels in seen.items() if len(levels) > 1)
    if both:
        message = f"{len(both)} nodes served several levels of node_type (the first: {both[0]})"
        yield Check("nodes_shared", CheckStatus.WARNING, message, "give the levels labels that no node has together")


def _of_level(table: pa.Table, factor: Swept, level: str) -> Bools:
    """(n,) attempts of one level, whatever the levels of other factors."""
    column = pc.fill_null(table["_model"], fill_value="")
    own = pc.match_substring_regex(column, rf"[\[ ]{factor.name}=")
    mask = (
        pc.invert(own)
        if level == factor.reference
        else pc.match_substring_regex(column, rf"[\[ ]{factor.name}={_literal(level)}[,\]]")
    )
    return np.asarray(mask.combine_chunks().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _literal(name: str) -> str:
    """A name in a regular expression of Arrow: of its signs only the dot means more than itself."""
    return name.replace(".", r"\.")
