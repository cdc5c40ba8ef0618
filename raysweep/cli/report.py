"""`raysweep report`: the analysis of one run or several, on the terminal and as report.html and report.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say
from raysweep.errors import bad_input
from raysweep.study.sources import design_of, merged_runs, provenance, provenance_of_all, refuse_assumed

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.store import Store
    from raysweep.stats import Analysis


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
