"""Calibrating one run, or several as one: their tables, and the proposed task files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import InputError, bad_input
from raysweep.study.notes import Note, silent
from raysweep.study.sources import design_of, merged_runs, names_of, provenance, provenance_of_all, refuse_assumed

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.config.model import TaskSource
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Design
    from raysweep.stats.calibrate import Calibration
    from raysweep.stats.findings.proposal import Proposal
    from raysweep.tasks.model import Task
    from raysweep.tasks.propose import SpecChange


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """What is calibrated: tables of one run, or of several merged; first: the oldest. notes: what merging left out."""

    table: pa.Table
    planned: pa.Table
    probes: pa.Table
    design: Design
    first: tuple[RunPath, LedgerView]
    run_ids: list[str]
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()


def calibration_data(paths: Sequence[RunPath], assumed: Sequence[str]) -> CalibrationData:
    """The tables of one run, or of several as one; InputError for runs whose designs differ."""
    from raysweep.record.reader import read_ledger

    if len(paths) == 1:
        refuse_assumed(assumed)
        view = read_ledger(paths[0])
        source, ids = provenance(paths[0], view), [view.facts.run_id]
        return CalibrationData(view.table, view.planned, view.probes, design_of(view), (paths[0], view), ids, source)
    merged = merged_runs(paths, assumed)
    oldest = merged.runs[0]
    notes = [f"{len(merged.runs)} runs are calibrated together: {', '.join(r.name for r in merged.runs)}"]
    if merged.left_out:
        notes.append(f"left out, because not every run has them: {', '.join(merged.left_out)}")
    notes += [f"assumed comparable, though not known to be alike: {a}" for a in merged.assumed]
    where = dict(zip(names_of(paths), paths, strict=True))[oldest.name]
    return CalibrationData(
        table=merged.table,
        planned=merged.planned,
        probes=merged.probes,
        design=merged.design,
        first=(where, oldest.view),
        run_ids=[r.run_id for r in merged.runs],
        provenance=provenance_of_all(paths, merged, None),
        notes=tuple(notes),
    )


def calibrate_data(
    data: CalibrationData, *, floor: str | None = None, delta: float | None = None, infra_max: float | None = None
) -> Calibration:
    """The calibration of these tables.

    Args:
        data: from `calibration_data`.
        floor: the band to start from; None: the reference.
        delta: the largest difference that counts as none, a fraction; None: the registered one.
        infra_max: maximum share of attempts that the limits may kill, a fraction; None: not bounded.

    Raises:
        InputError: the floor is no band.

    """
    from raysweep.stats.calibrate import calibrate

    return calibrate(
        data.table, data.planned, data.design, floor=floor, delta=delta, infra_max=infra_max, probes=data.probes
    )


def write_proposals(
    run: tuple[RunPath, LedgerView], proposals: tuple[Proposal, ...], out: Path, source: str | None, note: Note = silent
) -> Path:
    """Write the proposed task.toml files and their diff.

    Args:
        run: whose sweep names the original tasks.
        proposals: of the calibration.
        out: the new folder.
        source: of the original tasks, where it is not the one that the sweep names.
        note: hears which tasks changed since the run.

    Returns:
        The place of the diff.

    Raises:
        InputError: an original is not found.

    """
    from raysweep.tasks.propose import write_proposals as write_files

    path, view = run
    changes = _changes(proposals)
    folders, changed = _originals(view, path, source, {p.task for p in proposals})
    for name in changed:
        note(f"note: task {name} changed since the run; its proposal is set into the task as it is now")
    if not changes:
        note("note: no value is to change")
    return write_files(changes, folders, out)


def _changes(proposals: tuple[Proposal, ...]) -> dict[str, SpecChange]:
    from raysweep.tasks.propose import SpecChange

    changed: dict[str, dict[str, float]] = {}
    for p in proposals:
        if p.changes and p.proposed is not None:
            changed.setdefault(p.task, {})[p.quantity] = p.proposed
    return {
        task: SpecChange(
            memory=round(values["memory"]) if "memory" in values else None,
            cpu=round(values["cpu"]) if "cpu" in values else None,
            agent_timeout_s=values.get("agent_time"),
        )
        for task, values in changed.items()
    }


def _originals(
    view: LedgerView, path: RunPath, source: str | None, names: set[str]
) -> tuple[dict[str, Path], list[str]]:
    """Directories of the tasks by name, and which of them changed since the run; InputError when one is not found."""
    from raysweep import config

    section = config.parse(view.sweep_text, Path(str(path / "sweep.yaml"))).tasks
    given = source or section.source
    if given.startswith("synthetic:"):
        raise bad_input("made-up tasks have no task.toml", "calibrate a run of real tasks", key="--write", value=given)
    reasons: list[str] = []
    for base in _bases(given, path):
        try:
            here = {t.name: t for t in _load(section, given, base)}
        except InputError as error:
            reasons.append(error.problems[0].message)
            continue
        missing = sorted(names - here.keys())
        if not missing:
            digests = dict(zip(view.planned["task"].to_pylist(), view.planned["task_digest"].to_pylist(), strict=True))
            changed = sorted(n for n in names if digests.get(n) not in {None, here[n].digest})
            return {n: Path(str(here[n].path)) for n in names}, changed
        reasons.insert(0, f"{given} lacks {', '.join(missing[:5])}")
    raise bad_input(
        f"the original tasks were not found: {reasons[0]}", "give their folder with --tasks", key="--write", value=given
    )


def _bases(source: str, path: RunPath) -> tuple[Path, ...]:
    """Where a relative source may start: the working directory, the run directory, the folder around it.

    It was relative to the sweep's file, of which the run directory keeps a copy only.
    """
    if source.startswith(("bundled:", "git+", "/", "~")) or not isinstance(path, Path):
        return (Path.cwd(),)
    return (Path.cwd(), path, path.parent)


def _load(section: TaskSource, source: str, base: Path) -> tuple[Task, ...]:
    from raysweep.tasks.load import load_tasks

    spec = section.defaults.resources
    return load_tasks(
        source,
        include=section.include,
        exclude=section.exclude,
        default_cpu=spec.cpu,
        default_memory=spec.memory,
        default_storage=spec.storage,
        base=base,
    )
