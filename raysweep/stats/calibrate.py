"""Calibration in one call: a ledger's tables in, verdicts per ceiling and declared against observed out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.errors import bad_input
from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.design import Design
from raysweep.stats.endings import is_resource
from raysweep.stats.finding import Caution, Check, Finding
from raysweep.stats.findings.calibrate import CHANGES, NOT_ENOUGH, Ladder, ladder, recommend
from raysweep.stats.findings.ceiling import Attempts, CeilingRule
from raysweep.stats.findings.checks import run_checks
from raysweep.stats.findings.declared import declared_against_observed
from raysweep.stats.findings.killcurve import kill_curve
from raysweep.stats.findings.limits import NOT_ENFORCED, Limits, band_limits, ceilings_above, limit_status
from raysweep.stats.findings.observed import observe
from raysweep.stats.findings.probes import Measured, measure
from raysweep.stats.findings.proposal import Proposal, proposals
from raysweep.stats.findings.voided import broken_checks
from raysweep.stats.levels import at_reference
from raysweep.stats.methods.draws import Map
from raysweep.stats.methods.interval import Draws

ADMISSIBLE, NONE, UNDECIDED = "admissible", "none admissible", "not enough data"
HEAVY = ("run_id", "plan_id", "block_id", "trial_id", "attempt_id", "task_digest", "detail", "node")
"""Columns that nothing here reads once the cube is made, and that cost most to filter."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a ledger says about ceilings above a floor, and about what its tasks declare.

    delta, infra_max, alpha: fractions. recommended: one ceiling for all models, None where `status` is not ADMISSIBLE.
    declared, kill_curve: descriptive Findings. cautions: what holds for the calibration as a whole. notes:
    what else a reader should know, from who read the runs.
    """

    floor: str
    delta: float
    infra_max: float | None
    alpha: float
    ladders: tuple[Ladder, ...]
    recommended: str | None
    status: str
    checks: tuple[Check, ...]
    declared: tuple[Finding, ...]
    kill_curve: tuple[Finding, ...]
    proposals: tuple[Proposal, ...]
    cautions: tuple[Caution, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every number of the calibration, for JSON."""
        return (
            *(f for one in self.ladders for f in _of_ladder(one)),
            *self.declared,
            *self.kill_curve,
            *(p.finding for p in self.proposals),
        )


def _of_ladder(one: Ladder) -> Iterator[Finding]:
    yield one.floor_rate
    for c in one.ceilings:
        yield from (c.difference, c.difference_sampled, c.fall, c.fall_sampled, c.infra_rate)


def calibrate(
    table: pa.Table,
    planned: pa.Table,
    design: Design,
    *,
    floor: str | None = None,
    delta: float | None = None,
    infra_max: float | None = None,
    probes: pa.Table | None = None,
    map: Map = map,  # noqa: A002 - as draws
) -> Calibration:
    """Verdicts on every band wider than `floor`, one recommendation, and what tasks declare beside what they used.

    table, planned, probes, map: as for `analyse`. floor: a band, by default the reference. delta: the largest
    difference that counts as none, a fraction, by default the registered one. infra_max: the largest rate of attempts
    that the arm's limits may end, None for any. Any ledger gives a Calibration; InputError for a floor that is no band
    or has none above it, and for values outside 0..1.
    """
    floor, delta = floor or design.reference, design.delta if delta is None else delta
    _check_fractions(delta, infra_max)
    whole = usable(table, planned)
    table, planned = (at_reference(t, design) for t in (whole.table, whole.planned))
    cube = build_cube(table, planned, design)
    bands = tuple(dict.fromkeys(a.band for a in cube.arms))
    _check_floor(floor, bands)
    limits = band_limits(table, planned, bands)
    alpha = round(1 - design.confidence, 12)
    light = table.drop_columns([name for name in HEAVY if name in table.column_names])
    final = light.filter(light["is_final"])
    measured = measure(probes)
    status, floor_cautions = limit_status(final, cube, floor, limits[floor], measured.get(floor))
    rule = CeilingRule(
        floor=floor,
        ceilings=_ceilings(limits, bands, floor),
        delta=delta,
        infra_max=infra_max,
        alpha=alpha,
        limits=_statuses(final, cube, limits, bands, (status, floor_cautions), measured),
    )
    how = Draws(seed=design.seed, replicates=design.replicates, level=1 - 2 * alpha, map=map)
    attempts = attempt_counts(light)
    ladders = tuple(ladder(cube, model, rule, how, attempts) for model in cube.models)
    recommended = recommend(ladders, rule)
    o = observe(light, planned, cube, limits)
    return Calibration(
        floor=floor,
        delta=delta,
        infra_max=infra_max,
        alpha=alpha,
        ladders=ladders,
        recommended=recommended,
        status=ADMISSIBLE if recommended else _why_none(ladders),
        checks=(*broken_checks(whole.broken), *run_checks(table, planned, cube, design, measured)),
        declared=declared_against_observed(o, design.confidence),
        kill_curve=kill_curve(o, design.confidence),
        proposals=proposals(o, design.confidence),
        cautions=(*floor_cautions, *_departures(design, floor, delta)),
    )


def _check_fractions(delta: float, infra_max: float | None) -> None:
    for name, value, example in (("delta", delta, "2pp"), ("infra-max", infra_max, "1%")):
        if value is not None and not 0 < value < 1:
            raise bad_input(
                "is not between 0 and 100 %", f"write it like {example}", key=name, value=f"{100 * value:g} %"
            )


def _check_floor(floor: str, bands: tuple[str, ...]) -> None:
    if floor not in bands:
        known = f"the bands of this run are {', '.join(bands)}" if bands else "this run has no bands"
        raise bad_input("is not a band of this run", known, key="floor", value=floor)


def _ceilings(limits: Mapping[str, Limits], bands: tuple[str, ...], floor: str) -> tuple[str, ...]:
    found = ceilings_above(limits, bands, floor)
    if not found:
        others = [band for band in bands if band != floor]
        remedy = f"choose a lower floor among {', '.join(others)}" if others else "run a sweep with more bands"
        raise bad_input("no band is wider than the floor", remedy, key="floor", value=floor)
    return found


def _statuses(
    final: pa.Table,
    cube: Cube,
    limits: Mapping[str, Limits],
    bands: tuple[str, ...],
    floor: tuple[str, tuple[Caution, ...]],
    measured: Mapping[str, Measured],
) -> dict[str, tuple[str, tuple[Caution, ...]]]:
    """Enforcement per band; without an enforced floor no ceiling is a contrast of limits."""
    if floor[0] == NOT_ENFORCED:
        return dict.fromkeys(bands, floor)
    return {band: limit_status(final, cube, band, limits[band], measured.get(band)) for band in bands}


def attempt_counts(table: pa.Table) -> Attempts:
    """Attempts per (model, band) of a labelled table, superseded ones too: ended in a resource cause, all."""
    flags = pa.table({"model": table["_model"], "band": table["band"], "dead": pc.cast(is_resource(table), pa.int64())})
    rows = flags.group_by(["model", "band"]).aggregate([("dead", "sum"), ("dead", "count")]).to_pylist()
    return {(r["model"], r["band"]): (int(r["dead_sum"]), int(r["dead_count"])) for r in rows}


def _why_none(ladders: tuple[Ladder, ...]) -> str:
    """NONE where the data decide against every ceiling, UNDECIDED where more of them could help."""
    refused = [one for one in ladders if not one.passed and one.ceilings[0].verdict in {CHANGES, NOT_ENFORCED}]
    open_ = [c for one in ladders for c in one.ceilings if c.verdict == NOT_ENOUGH]
    return UNDECIDED if not ladders or (open_ and not refused) else NONE


def _departures(design: Design, floor: str, delta: float) -> Iterator[Caution]:
    """What was asked for is not what was registered."""
    if not design.registered:
        return
    asked = []
    if delta != design.delta:
        asked.append(f"delta {100 * delta:g} points instead of {100 * design.delta:g}")
    if floor != design.reference:
        asked.append(f"floor {floor} instead of {design.reference}")
    if asked:
        message = f"not as registered: {', '.join(asked)}"
        yield Caution("exploratory", message, "take this calibration as exploratory; register it for the next run")
