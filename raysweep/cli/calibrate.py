"""`raysweep calibrate`: how far limits may be raised without changing the benchmark, and what tasks should declare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.options import points_option
from raysweep.cli.output import emit, say, tell
from raysweep.errors import ExitCode, InputError, bad_input
from raysweep.study.sources import (
    design_of,
    merged_runs,
    names_of,
    provenance,
    provenance_of_all,
    refuse_assumed,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.config.model import TaskSource
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Design
    from raysweep.stats.findings.proposal import Proposal
    from raysweep.tasks.model import Task
    from raysweep.tasks.propose import SpecChange

_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said beside the runs: delta and infra_max as written ("2pp", "1%").

    Without a delta the registered one holds. write: where proposed files go. tasks: source of the original tasks when
    it is not the one in sweep.yaml. assumed: fields of methodology to take as alike.
    """

    floor: str | None = None
    delta: str | None = None
    infra_max: str | None = None
    write: Path | None = None
    tasks: str | None = None
    assumed: tuple[str, ...] = ()


def calibrate_command(paths: Sequence[RunPath], options: Options, *, as_json: bool) -> int:
    """Print the calibration of one run, or of several as one; 0 with an admissible ceiling, 1 with none, 3 undecided.

    InputError for what cannot be read, for a floor that is no band, for originals that are not found (those of several
    runs are looked for where the oldest had them), and for runs whose designs differ.
    """
    from raysweep.stats.calibrate import ADMISSIBLE, UNDECIDED, calibrate

    margin, most = points_option("--delta", options.delta), _percent(options.infra_max)
    data = calibration_data(paths, options.assumed)
    found = calibrate(
        data.table, data.planned, data.design, floor=options.floor, delta=margin, infra_max=most, probes=data.probes
    )
    first, view = data.first
    diff = _write(view, first, found.proposals, options.write, options.tasks) if options.write is not None else None
    for line in data.notes if not as_json else ():
        say(line)
    if as_json:
        from raysweep.report.calibration import calibration_document

        given = " ".join([*map(str, paths), *(f"--assume-comparable {field}" for field in options.assumed)])
        command = {"command": f"raysweep calibrate {given} --floor {found.floor} --delta {100 * found.delta:g}pp"}
        emit(calibration_document(found, data.run_ids, data.provenance | command))
    else:
        from rich.console import Console

        from raysweep.report.calibrationtables import print_calibration

        print_calibration(found, Console())
        if diff is not None:
            say(f"proposal: {diff}")
    codes = {ADMISSIBLE: ExitCode.OK, UNDECIDED: ExitCode.INCOMPLETE}
    return codes.get(found.status, ExitCode.CLAIM_FAILS)


@dataclass(frozen=True, slots=True)
class _Data:
    """What is calibrated: tables of one run, or of several merged; first: the oldest. notes: what merging left out."""

    table: pa.Table
    planned: pa.Table
    probes: pa.Table
    design: Design
    first: tuple[RunPath, LedgerView]
    run_ids: list[str]
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()


def calibration_data(paths: Sequence[RunPath], assumed: Sequence[str]) -> _Data:
    """The tables of one run, or of several as one; InputError for runs whose designs differ."""
    from raysweep.record.reader import read_ledger

    if len(paths) == 1:
        refuse_assumed(assumed)
        view = read_ledger(paths[0])
        told, ids = provenance(paths[0], view), [view.facts.run_id]
        return _Data(view.table, view.planned, view.probes, design_of(view), (paths[0], view), ids, told)
    merged = merged_runs(paths, assumed)
    oldest = merged.runs[0]
    notes = [f"{len(merged.runs)} runs are calibrated together: {', '.join(r.name for r in merged.runs)}"]
    if merged.left_out:
        notes.append(f"left out, because not every run has them: {', '.join(merged.left_out)}")
    notes += [f"assumed comparable, though not known to be alike: {a}" for a in merged.assumed]
    where = dict(zip(names_of(paths), paths, strict=True))[oldest.name]
    return _Data(
        table=merged.table,
        planned=merged.planned,
        probes=merged.probes,
        design=merged.design,
        first=(where, oldest.view),
        run_ids=[r.run_id for r in merged.runs],
        provenance=provenance_of_all(paths, merged, None),
        notes=tuple(notes),
    )


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    found = _PERCENT.match(text.strip())
    if found is None:
        raise bad_input(f"{text!r} is not a rate", "write it like 1%", key="--infra-max")
    return float(found[1]) / 100


def _write(view: LedgerView, path: RunPath, proposals: tuple[Proposal, ...], out: Path, source: str | None) -> Path:
    """Write the proposed task.toml files and their diff; says which tasks changed since the run."""
    from raysweep.tasks.propose import write_proposals

    changes = _changes(proposals)
    folders, changed = _originals(view, path, source, {p.task for p in proposals})
    for name in changed:
        tell(f"note: task {name} changed since the run; its proposal is set into the task as it is now")
    if not changes:
        tell("note: no value is to change")
    return write_proposals(changes, folders, out)


def _changes(proposals: tuple[Proposal, ...]) -> dict[str, SpecChange]:
    from raysweep.tasks.propose import SpecChange

    found: dict[str, dict[str, float]] = {}
    for p in proposals:
        if p.changes and p.proposed is not None:
            found.setdefault(p.task, {})[p.quantity] = p.proposed
    return {
        task: SpecChange(
            memory=round(values["memory"]) if "memory" in values else None,
            cpu=round(values["cpu"]) if "cpu" in values else None,
            agent_timeout_s=values.get("agent_time"),
        )
        for task, values in found.items()
    }


def _originals(
    view: LedgerView, path: RunPath, source: str | None, names: set[str]
) -> tuple[dict[str, Path], list[str]]:
    """Directories of the tasks by name, and which of them changed since the run; InputError when one is not found."""
    from raysweep import config

    section = config.parse(view.sweep_text, Path(str(path / "sweep.yaml"))).tasks
    told = source or section.source
    if told.startswith("synthetic:"):
        raise bad_input("made-up tasks have no task.toml", "calibrate a run of real tasks", key="--write", value=told)
    reasons: list[str] = []
    for base in _bases(told, path):
        try:
            here = {t.name: t for t in _load(section, told, base)}
        except InputError as error:
            reasons.append(error.problems[0].message)
            continue
        missing = sorted(names - here.keys())
        if not missing:
            digests = dict(zip(view.planned["task"].to_pylist(), view.planned["task_digest"].to_pylist(), strict=True))
            changed = sorted(n for n in names if digests.get(n) not in {None, here[n].digest})
            return {n: Path(str(here[n].path)) for n in names}, changed
        reasons.insert(0, f"{told} lacks {', '.join(missing[:5])}")
    raise bad_input(
        f"the original tasks were not found: {reasons[0]}", "give their folder with --tasks", key="--write", value=told
    )


def _bases(told: str, path: RunPath) -> tuple[Path, ...]:
    """Where a relative source may start: the working directory, the run directory, the folder around it.

    It was relative to the sweep's file, of which the run directory keeps a copy only.
    """
    if told.startswith(("bundled:", "git+", "/", "~")) or not isinstance(path, Path):
        return (Path.cwd(),)
    return (Path.cwd(), path, path.parent)


def _load(section: TaskSource, told: str, base: Path) -> tuple[Task, ...]:
    from raysweep.tasks.load import load_tasks

    spec = section.defaults.resources
    return load_tasks(
        told,
        include=section.include,
        exclude=section.exclude,
        default_cpu=spec.cpu,
        default_memory=spec.memory,
        default_storage=spec.storage,
        base=base,
    )
