"""`raysweep report`: the analysis of a run directory, on the terminal and as report.html and report.json."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Design


def report_command(path: RunPath, *, as_json: bool) -> None:
    """Write the report into RUN/report and print its verdict, or the whole of it as JSON."""
    from rich.console import Console

    from raysweep.record.reader import open_run, read_ledger
    from raysweep.report import print_report, write_report
    from raysweep.stats import analyse

    view = read_ledger(path)
    analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    store = open_run(path)
    with tempfile.TemporaryDirectory() as folder:
        written = write_report(analysis, Path(folder), provenance(path, view))
        files = {file.name: file.read_bytes() for file in written}
    for name, data in files.items():
        store.replace(f"report/{name}", data)
    if as_json:
        emit(json.loads(files["report.json"]))
        return
    print_report(analysis, Console())
    say(f"report: {path / 'report' / 'report.html'}")


def design_of(view: LedgerView) -> Design:
    """What the analysis must know of the sweep, from the run directory alone."""
    from raysweep.stats import Design

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
