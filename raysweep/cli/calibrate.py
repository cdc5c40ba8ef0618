"""`raysweep calibrate`: how far limits may be raised without changing the benchmark, and what tasks should declare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.cli.options import points_option
from raysweep.cli.output import emit, say, tell
from raysweep.cli.report import design_of, provenance
from raysweep.errors import ExitCode, InputError, bad_input

if TYPE_CHECKING:
    from raysweep.config.model import TaskSource
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats.findings.proposal import Proposal
    from raysweep.tasks.model import Task
    from raysweep.tasks.propose import SpecChange

_PERCENT = re.compile(r"^(\d+(?:\.\d+)?)\s*%$")


def calibrate_command(
    path: RunPath,
    floor: str | None,
    delta: str | None,
    infra_max: str | None,
    write: Path | None,
    tasks: str | None,
    *,
    as_json: bool,
) -> int:
    """Print the calibration; 0 with an admissible ceiling, 1 with none, 3 when the data do not decide.

    delta, infra_max: as written ("2pp", "1%"); without a delta the registered one holds. write: where proposed files
    go. tasks: source of the original tasks when it is not the one in sweep.yaml. InputError for what cannot be read,
    for a floor that is no band, and for originals that are not found.
    """
    from raysweep.record.reader import read_ledger
    from raysweep.stats.calibrate import ADMISSIBLE, UNDECIDED, calibrate

    margin, most = points_option("--delta", delta), _percent(infra_max)
    view = read_ledger(path)
    found = calibrate(
        view.table, view.planned, design_of(view), floor=floor, delta=margin, infra_max=most, probes=view.probes
    )
    diff = _write(view, path, found.proposals, write, tasks) if write is not None else None
    if as_json:
        from raysweep.report.calibration import calibration_document

        command = {"command": f"raysweep calibrate {path} --floor {found.floor} --delta {100 * found.delta:g}pp"}
        emit(calibration_document(found, [view.facts["run_id"]], provenance(path, view) | command))
    else:
        from rich.console import Console

        from raysweep.report.calibrationtables import print_calibration

        print_calibration(found, Console())
        if diff is not None:
            say(f"proposal: {diff}")
    codes = {ADMISSIBLE: ExitCode.OK, UNDECIDED: ExitCode.INCOMPLETE}
    return codes.get(found.status, ExitCode.CLAIM_FAILS)


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
