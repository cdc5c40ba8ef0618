"""Several runs in one analysis: findings of the merged ledger, checks of each run by its name.

Belongs here: what a merged analysis says beside what `analyse` says of one ledger. Does not: whether runs may be merged
(`merge`), intervals over runs (`findings.runs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.analyse import Analysis, Member, described, doubted, infer
from raysweep.stats.broken import usable
from raysweep.stats.cube import Cube, build_cube
from raysweep.stats.finding import Check, Finding
from raysweep.stats.findings.checks import by_seriousness, enough, named, run_checks
from raysweep.stats.findings.looks import looks
from raysweep.stats.findings.mechanism import NODE_KEYS
from raysweep.stats.findings.probes import measure, probe_findings, refusals
from raysweep.stats.findings.progress import progress
from raysweep.stats.findings.runs import run_findings, runs_of
from raysweep.stats.findings.voided import broken_checks
from raysweep.stats.levels import reference_part
from raysweep.stats.merge import Merged, Run
from raysweep.stats.methods.draws import Map
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.runs import LEAST_RUNS
from raysweep.stats.statement import Caveats, Statement
from raysweep.stats.stop import peek_label
from raysweep.stats.verdict import verdict
from raysweep.vocabulary import CheckStatus

OF_ALL = {"few_tasks", "few_dates", "tasks_without_block"}
"""Checks that ask whether there is enough: of the merged ledger, not of each run."""
ALIKE = 20
"""From so many common trials on it is no accident that two runs have the same outcome in every one."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One run on its own: labelled tables without tasks whose verifier is broken, and their cube."""

    run: Run
    table: pa.Table
    planned: pa.Table
    cube: Cube

    @classmethod
    def of(cls, run: Run) -> _Part:
        of_run = usable(run.view.table, run.view.planned)
        cube = build_cube(of_run.table, of_run.planned, run.design)
        return cls(run, of_run.table, of_run.planned, cube)


def analyse_runs(merged: Merged, *, map: Map = map) -> Analysis:  # noqa: A002 - as draws
    """All findings, checks and sentences of several runs; the numbers do not depend on the order of the runs.

    A model of one run has the findings that this run's own analysis has, if no task was left out and the seeds are
    the same; one of several runs has pooled findings, exploratory, and those of `findings.runs` beside them.
    """
    design = merged.design
    whole = usable(merged.table, merged.planned)
    table, planned = whole.table, whole.planned
    cube = build_cube(table, planned, design)
    how = Draws(seed=design.seed, replicates=design.replicates, level=design.confidence, map=map)
    parts = [_Part.of(run) for run in merged.runs]
    each = [(p.run.name, c) for p in parts for c in _checks_of(p)]
    findings = [*infer(table, cube, design, how, looked=_looked(parts, merged, cube), checks=[c for _, c in each])]
    own = replace(design, registered=all(r.design.registered for r in merged.runs) and not merged.left_out)
    findings += run_findings(reference_part(table, cube, design)[1], own, how)
    measured = measure(merged.probes)
    caveats = Caveats.of((c for _, c in each), simulated=any(r.design.simulated for r in merged.runs))
    sentences = verdict(findings, registered=all(r.design.registered for r in merged.runs), caveats=caveats)
    refused = [s for r in merged.runs for s in refusals(measure(r.view.probes), r.name)]
    return Analysis(
        design=design,
        statements=(*map(Statement, refused), *sentences),
        checks=by_seriousness(
            [
                *broken_checks(whole.broken),
                *_about(merged, cube),
                *enough(cube, design),
                *(_of_run(name, c) for name, c in each),
            ]
        ),
        findings=tuple(doubted(f, measured) for f in findings),
        details=(*described(table, cube, design), *probe_findings(measured)),
        arms=tuple((a.model, a.band) for a in cube.arms),
        tasks=cube.tasks,
        buckets=cube.buckets,
        runs=tuple(r.run_id for r in merged.runs),
        n_attempts=len(merged.table),
        n_trials=int(cube.present.sum()),
        members=tuple(_member(p) for p in parts),
    )


def _checks_of(part: _Part) -> Iterator[Check]:
    """Those of one run, its label of an unfinished or planned look among them."""
    peek = peek_label(part.table, part.planned, part.run.design, part.cube)
    if peek is not None:
        yield peek
    checks = run_checks(part.table, part.planned, part.cube, part.run.design, measure(part.run.view.probes))
    yield from (c for c in checks if c.code not in OF_ALL)


def _of_run(name: str, check: Check) -> Check:
    return replace(check, message=f"{name}: {check.message}")


def _looked(parts: Sequence[_Part], merged: Merged, cube: Cube) -> list[Finding]:
    """Repeated intervals of each run's planned looks, for its models that ran nowhere else on the same tasks."""
    if merged.left_out:
        return []
    alone = {m for m in cube.models if len(runs_of(cube, m)) < 2}
    return [
        f
        for p in parts
        for look in looks(p.table, p.planned, p.run.design, progress(p.table, p.planned), p.cube)
        for f in look.findings
        if f.model in alone
    ]


def _member(part: _Part) -> Member:
    return Member(
        name=part.run.name,
        run_id=part.run.run_id,
        models=part.run.models,
        tasks=len(part.cube.tasks),
        dates=part.cube.dates,
        trials=int(part.cube.present.sum()),
        attempts=len(part.table),
    )


def _about(merged: Merged, cube: Cube) -> Iterator[Check]:
    """What merging itself makes a reader ask."""
    names = ", ".join(r.name for r in merged.runs)
    yield Check(
        "merged",
        CheckStatus.OK,
        f"{len(merged.runs)} runs are analysed together: {names}; blocks pair within a run",
        "",
    )
    if merged.left_out:
        tasks = named(f"{task} (only in {', '.join(runs)})" for task, runs in merged.left_out.items())
        message = f"{len(merged.left_out)} tasks are not in every run and are left out: {tasks}"
        yield Check(
            "tasks_left_out", CheckStatus.WARNING, message, "run them in the other runs, or report the runs apart"
        )
    for apart in merged.assumed:
        message = f"assumed comparable, though not known to be alike: {apart}"
        yield Check("assumed_comparable", CheckStatus.WARNING, message, "run them alike")
    if merged.noted:
        message = f"the runs also differ in {'; '.join(map(str, merged.noted))}"
        yield Check(
            "noted_differences", CheckStatus.NOTE, message, "nothing to do where you know that it does not matter"
        )
    if merged.replicated:
        yield from _pooled(merged, cube)
        yield from _repeated(merged)


def _pooled(merged: Merged, cube: Cube) -> Iterator[Check]:
    """Models of several runs: how runs weigh, and of how many others they can tell."""
    most = max((len(runs_of(cube, m)) for m in cube.models), default=0)
    message = (
        f"{', '.join(merged.replicated)} ran in more than one run: their runs are pooled, every block with the same"
        " weight, which nobody registered"
    )
    yield Check(
        "runs_pooled", CheckStatus.NOTE, message, "pooled contrasts are exploratory; each run's own stand beside them"
    )
    if 1 < most < LEAST_RUNS:
        message = f"{most} runs of a model: nothing here tells how much another cluster or installation would differ"
        yield Check("few_runs", CheckStatus.NOTE, message, f"at least {LEAST_RUNS} runs are needed to resample runs")


def _repeated(merged: Merged) -> Iterator[Check]:
    """Runs that repeat each other: the same trials of the same seeds with the same outcome are not new data."""
    for number, other in enumerate(merged.runs):
        for one in merged.runs[:number]:
            common, same, kinds = _agreement(one, other)
            if common >= ALIKE and same == common and kinds > 1:
                message = (
                    f"{one.name} and {other.name} have the same outcome in all {common} trials that are planned alike:"
                    " the second adds nothing new, and pooled intervals are too narrow"
                )
                yield Check("repeated_outcomes", CheckStatus.WARNING, message, "give the sweeps different seeds")
            elif common and one.design.seed == other.design.seed:
                message = (
                    f"{one.name} and {other.name} share the seed {one.design.seed}: agents that draw by it repeat it"
                )
                yield Check("same_seed", CheckStatus.NOTE, message, "give the sweeps different seeds")


def _agreement(one: Run, other: Run) -> tuple[int, int, int]:
    """Trials planned alike that ended in both runs, how many of them alike, and how many outcomes they had."""
    a, b = (r.view.table.filter(r.view.table["is_final"]) for r in (one, other))
    at = pc.index_in(b["trial_id"], value_set=a["trial_id"].combine_chunks())
    both = pc.is_valid(at)
    outcomes = [_outcome(a).take(pc.drop_null(at)), _outcome(b).filter(both)]
    return len(outcomes[0]), int(pc.sum(pc.equal(*outcomes)).as_py() or 0), len(pc.unique(outcomes[0]))


def dates_of(table: pa.Table) -> tuple[str, ...]:
    """Labels of the dates on which attempts ran, as far as they are known, else were planned; ascending."""
    return tuple(sorted(set(pc.unique(pc.coalesce(table["actual_occasion"], table["occasion"])).to_pylist()) - {None}))


def nodes_of(table: pa.Table) -> tuple[str, ...]:
    """Names of the machines on which attempts ran, as far as they are known; ascending."""
    return tuple(sorted({name for key in NODE_KEYS for name in _told(table, key)}))


def _told(table: pa.Table, key: str) -> list[str]:
    values = pc.unique(pc.map_lookup(table["node"], pa.scalar(key), "first"))
    return [str(v) for v in values.to_pylist() if v is not None]


def _outcome(table: pa.Table) -> pa.ChunkedArray:
    """Outcome, cause and reward as one text."""
    texts = [pc.fill_null(table[name].cast(pa.string()), "") for name in ("outcome", "cause", "reward")]
    return pc.binary_join_element_wise(*texts, "/")
