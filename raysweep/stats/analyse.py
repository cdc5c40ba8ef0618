"""The whole reducer in one call: a ledger's tables in, an Analysis out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Check, Finding
from raysweep.stats.findings.bucketcontrast import band_by_bucket, bucket_contrasts
from raysweep.stats.findings.changepoint import change_points
from raysweep.stats.findings.checks import run_checks
from raysweep.stats.findings.contrast import band_contrasts, contrast_finding
from raysweep.stats.findings.dates import date_contrasts
from raysweep.stats.findings.decompose import decompose
from raysweep.stats.findings.describe import describe
from raysweep.stats.findings.factors import factor_findings, registered_family
from raysweep.stats.findings.looks import looks
from raysweep.stats.findings.mechanism import mechanism
from raysweep.stats.findings.pair import mean_contrast, pair, pair_cautions
from raysweep.stats.findings.probes import Measured, measure, probe_findings, refusals
from raysweep.stats.findings.progress import progress
from raysweep.stats.findings.rates import arm_rates, infra_contrasts, infra_rates
from raysweep.stats.findings.rhythm import rhythm_details, rhythms
from raysweep.stats.findings.significance import significance
from raysweep.stats.findings.timeofday import time_of_day, time_of_day_details
from raysweep.stats.findings.together import between, together
from raysweep.stats.findings.voided import broken_checks, verified, verified_bounds
from raysweep.stats.levels import plain, reference_part
from raysweep.stats.methods.draws import Map
from raysweep.stats.methods.interval import Draws
from raysweep.stats.statement import Caveats, Statement
from raysweep.stats.stop import peek_label
from raysweep.stats.verdict import verdict
from raysweep.vocabulary import CheckStatus

DOUBTS = ("platform", "ends_with_outcome")
"""Checks whose warning calls for success with platform failures at 0."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a ledger says.

    findings: inferential, registered ones flagged. details: descriptive Findings (composition, per task, per occasion,
    resources). statements: the sentences with what they rest on. arms: (model, band) in the order of the design. runs:
    their ids. members: the runs of a merged analysis.
    """

    design: Design
    statements: tuple[Statement, ...]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    details: tuple[Finding, ...]
    arms: tuple[tuple[str, str], ...]
    tasks: tuple[str, ...]
    buckets: tuple[str, ...]
    runs: tuple[str, ...]
    n_attempts: int
    n_trials: int
    members: tuple[Member, ...] = ()

    @property
    def verdict(self) -> tuple[str, ...]:
        """The sentences alone."""
        return tuple(s.text for s in self.statements)


@dataclass(frozen=True, slots=True)
class Member:
    """One run of a merged analysis: its name in the report, and what it holds. dates: labels of its own."""

    name: str
    run_id: str
    models: tuple[str, ...]
    tasks: int
    dates: tuple[str, ...]
    trials: int
    attempts: int


def analyse(
    table: pa.Table,
    planned: pa.Table,
    *,
    design: Design,
    probes: pa.Table | None = None,
    map: Map = map,  # noqa: A002 - as draws
) -> Analysis:
    """All findings, checks and sentences of a ledger.

    table: all attempts with the columns of record.schema and is_final; planned: one row per planned trial (may have no
    rows); probes: rows of record.probes, if there are any. map: where chunks of draws are made; the numbers do not
    depend on it. Any ledger gives an Analysis: what cannot be said is a Finding without a value and a caution why.
    """
    attempts, whole = len(table), usable(table, planned)
    table, planned = whole.table, whole.planned
    cube = build_cube(table, planned, design)
    how = Draws(seed=design.seed, replicates=design.replicates, level=design.confidence, map=map)
    measured = measure(probes)
    checks = (*broken_checks(whole.broken), *run_checks(table, planned, cube, design, measured))
    peek = peek_label(table, planned, design, cube)
    every = checks if peek is None else (peek, *checks)
    caveats = Caveats.of(every, simulated=design.simulated)
    seen = looks(table, planned, design, progress(table, planned), cube) if len(table) else ()
    looked = [f for look in seen for f in look.findings]
    findings = tuple(infer(table, cube, design, how, looked=looked, checks=checks)) if len(table) else ()
    findings = tuple(doubted(f, measured) for f in findings)
    return Analysis(
        design=design,
        statements=(
            *map(Statement, refusals(measured)),
            *verdict(findings, registered=design.registered, caveats=caveats),
        ),
        checks=every,
        findings=findings,
        details=(*described(table, cube, design), *probe_findings(measured)),
        arms=tuple((a.model, a.band) for a in cube.arms),
        tasks=cube.tasks,
        buckets=cube.buckets,
        runs=tuple(sorted(r for r in table["run_id"].unique().to_pylist() if r)),
        n_attempts=attempts,
        n_trials=int(cube.present.sum()),
    )


def infer(
    table: pa.Table, cube: Cube, design: Design, how: Draws, *, looked: Sequence[Finding], checks: Sequence[Check]
) -> Iterator[Finding]:
    """What is inferred from a labelled ledger and its cube, in the order of the report.

    looked: repeated intervals of planned looks; checks: of the ledger (success_platform_zero answers one of them).
    Where other factors are swept, all but their own contrasts is of the arms at their references.
    """
    every = table, cube
    table, cube = reference_part(table, cube, design)
    contrasts = list(band_contrasts(cube, design, how))
    yield from contrasts
    yield from looked
    yield from together(cube, design, how)
    yield from between(cube, design, how)
    yield from date_contrasts(cube, design, how)
    yield from arm_rates(cube, how)
    yield from infra_rates(table, cube, how)
    yield from infra_contrasts(table, cube, design, how)
    if any(c.code in DOUBTS and c.status == CheckStatus.WARNING for c in checks):
        yield from platform_zero(cube, design, how)
    yield from verified(table, cube, design, how)
    yield from decompose(cube, design, how)
    yield from change_points(cube, table, design, how)
    family = registered_family(*every, design, how)
    yield from significance(cube, table, design, how, family)
    yield from bucket_contrasts(cube, how)
    yield from band_by_bucket(cube, design, how)
    yield from time_of_day(cube, how.level, _largest(contrasts), how.seed)
    yield from rhythms(cube, design)
    yield from factor_findings(*every, design, how, family)


def described(table: pa.Table, cube: Cube, design: Design) -> Iterator[Finding]:
    """What is described, and what stands behind a finding."""
    yield from describe(table, cube, design)
    table, cube = reference_part(table, cube, design)
    if len(table):
        yield from verified_bounds(table, cube)
        yield from time_of_day_details(cube, design.confidence, design.seed)
        yield from rhythm_details(cube, design)
        yield from mechanism(table, cube)


def doubted(f: Finding, measured: Mapping[str, Measured]) -> Finding:
    """The finding with a caution for each of its bands whose limits probes found not to be what they are said to be."""
    bands = dict.fromkeys(plain(band) for band in (f.reference, f.arm) if band is not None)
    faults = tuple(fault for band in bands if band in measured for fault in measured[band].faults())
    return replace(f, warnings=(*f.warnings, *faults)) if faults else f


def platform_zero(cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Success contrasts, scoring 0 every trial whose first attempt had a platform failure."""
    values = np.where(cube.first_platform, 0.0, cube.y)
    for column, arm in enumerate(cube.arms):
        if arm.band == design.reference or design.reference not in cube.bands(arm.model):
            continue
        p = pair(cube, values, column, cube.column(arm.model, design.reference), cube.in_bucket(None))
        value, interval = mean_contrast(p, how)
        label = {"estimand": "success_platform_zero", "model": arm.model, "arm": arm.band}
        label |= {"reference": design.reference}
        yield contrast_finding(p, {**label, "bucket": None}, value, interval, how.level, cautions=pair_cautions(p))


def _largest(findings: list[Finding]) -> float | None:
    sizes = [
        abs(f.value)
        for f in findings
        if f.estimand == "success" and f.arm and f.reference and not f.bucket and f.value is not None
    ]
    return max(sizes, default=None)
