"""`raysweep report`: the analysis of one run or several, on the terminal and as report.html and report.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say
from raysweep.errors import IncompleteError, bad_input

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.record.store import Store
    from raysweep.stats import Analysis, Design
    from raysweep.stats.merge import Merged


def report_command(paths: Sequence[RunPath], out: RunPath | None, assumed: Sequence[str], *, as_json: bool) -> None:
    """Write the report and print its verdict, or the whole of it as JSON.

    One run: into `out`, else into RUN/report. Several: merged, into `out`, which must be given; assumed: fields of
    methodology to take as alike. InputError for runs whose designs differ and for an `out` that is a run directory.
    """
    from raysweep.record.place import store_at
    from raysweep.record.reader import open_run, read_ledger
    from raysweep.stats import analyse

    if out is not None:
        store, where = store_at(out), out
        if store.exists("run.json"):
            raise bad_input("is a run directory", "give another folder for the report", key="--out", value=str(out))
    elif len(paths) > 1:
        raise bad_input("several runs need a folder for their report", "give one with --out DIR", key="--out")
    else:
        store, where = open_run(paths[0]), paths[0] / "report"
    if len(paths) > 1:
        from raysweep.stats.many import analyse_runs

        merged = merged_runs(paths, assumed)
        _write(analyse_runs(merged), provenance_of_all(paths, merged, out), store, where, as_json=as_json)
        return
    refuse_assumed(assumed)
    view = read_ledger(paths[0])
    analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    _write(
        analysis, provenance(paths[0], view), store, where, inside="" if out is not None else "report/", as_json=as_json
    )


def _write(
    analysis: Analysis, told: dict[str, Any], store: Store, where: RunPath, *, inside: str = "", as_json: bool
) -> None:
    """Into the store's folder `inside`, which is at `where`; then on the terminal."""
    from rich.console import Console

    from raysweep.report import print_report, write_report

    with tempfile.TemporaryDirectory() as folder:
        files = {file.name: file.read_bytes() for file in write_report(analysis, Path(folder), told)}
    for name, data in files.items():
        store.replace(f"{inside}{name}", data)
    if as_json:
        emit(json.loads(files["report.json"]))
        return
    print_report(analysis, Console())
    say(f"report: {where / 'report.html'}")


def refuse_assumed(assumed: Sequence[str]) -> None:
    """InputError where one run is given and something of it is to be taken as alike."""
    if assumed:
        raise bad_input("one run has one methodology", "leave it out", key="--assume-comparable")


def merged_runs(paths: Sequence[RunPath], assumed: Sequence[str]) -> Merged:
    """The runs at `paths` as one, under their names; IncompleteError when one of them holds no attempt."""
    from raysweep.record.reader import read_ledger
    from raysweep.stats.merge import Run, merge

    views = [read_ledger(path) for path in paths]
    for path, view in zip(paths, views, strict=True):
        if not len(view.table):
            raise IncompleteError(f"{path}: the ledger holds no attempt; run the sweep first")
    names = names_of(paths)
    return merge([Run(n, v, design_of(v)) for n, v in zip(names, views, strict=True)], assumed)


def names_of(paths: Sequence[RunPath]) -> list[str]:
    """What a reader calls each run: the last part of its path where that tells them apart, else the path."""
    short = [(p.resolve() if isinstance(p, Path) else p).name for p in paths]
    return short if len(set(short)) == len(short) else [str(p) for p in paths]


def design_of(view: LedgerView) -> Design:
    """What the analysis must know of the sweep, from the run directory alone."""
    from raysweep.stats import Design
    from raysweep.stats.design import Swept

    facts, registered = view.facts, view.registration["analysis"]
    return Design(
        reference=facts["reference"],
        bands=tuple(facts["bands"]),
        models=tuple(facts["models"]),
        buckets=tuple(facts["buckets"]),
        seed=facts["seed"],
        primary=registered["primary"],
        delta=registered["delta"],
        confidence=registered["confidence"],
        registered=registered["registered"],
        # Run directories of earlier versions say nothing of these.
        bucket_hours=tuple(facts.get("bucket_hours", ())),
        period_hours=facts.get("period_hours", 24.0),
        contrasts=tuple(registered.get("contrasts", ())),
        looks=registered.get("looks", 0),
        level_contrasts=tuple((name, tuple(levels)) for name, levels in registered.get("factors", {}).items()),
        factors=tuple(
            Swept(name, factor["reference"], tuple(factor["levels"]), tuple(factor["levels"].values()))
            for name, factor in facts.get("factors", {}).items()
        ),
    )


def provenance(path: RunPath, view: LedgerView) -> dict[str, Any]:
    """Where the numbers come from, for the end of the report."""
    return {
        "run": str(path),
        "run_id": view.facts["run_id"],
        "plan_id": view.facts["plan_id"],
        "registration_sha256": view.registration["sha256"],
        "environment": view.environment,
        "sweep": view.sweep_text,
        "command": f"raysweep run {path / 'sweep.yaml'} --run-dir NEW && raysweep report NEW",
    }


def provenance_of_all(paths: Sequence[RunPath], merged: Merged, out: RunPath | None) -> dict[str, Any]:
    """Where the numbers of merged runs come from, run by run."""
    at = dict(zip(names_of(paths), paths, strict=True))
    given = " ".join(
        f"--assume-comparable {field}" for field in dict.fromkeys(a.difference.field for a in merged.assumed)
    )
    runs = {r.name: _source(at[r.name], r.view) for r in merged.runs}
    command = " ".join(["raysweep report", *(str(p) for p in paths), "--out", str(out), *([given] if given else [])])
    return {
        "runs": runs,
        "assumed": [str(a) for a in merged.assumed],
        "noted": [str(a) for a in merged.noted],
        "command": command,
    }


def _source(path: RunPath, view: LedgerView) -> dict[str, Any]:
    """One run: what `provenance` tells, its dates and its nodes."""
    from raysweep.stats.many import dates_of, nodes_of

    told = {k: v for k, v in provenance(path, view).items() if k != "command"}
    return told | {
        "sandbox": view.facts.get("sandbox"),
        "raysweep": view.environment.get("raysweep"),
        "dates": list(dates_of(view.table)),
        "nodes": list(nodes_of(view.table)),
    }
