"""Analysing one run or several, and writing report.html and report.json."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import bad_input
from raysweep.study.sources import design_of, merged_runs, provenance, provenance_of_all, refuse_assumed

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Analysis


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """An analysis and the report of it. page: where report.html is. document: what report.json says, as text."""

    analysis: Analysis
    page: RunPath
    document: str


def report_runs(
    paths: Sequence[RunPath], out: RunPath | None = None, assumed: Sequence[str] = (), *, key: str = "out"
) -> WrittenReport:
    """Analyse runs and write the report.

    Args:
        paths: one run, or several to be analysed as one.
        out: the folder; RUN/report where it is left out, which several runs may not.
        assumed: fields of methodology to take as alike in several runs.
        key: what the caller's user calls `out`.

    Raises:
        InputError: `out` is a run directory, is missing or cannot be written, or the runs' designs differ.
        IncompleteError: one of several runs holds no attempt.

    """
    _refuse_folder(paths, out, key)
    if len(paths) > 1:
        from raysweep.stats.many import analyse_runs

        merged = merged_runs(paths, assumed)
        return _write(analyse_runs(merged), provenance_of_all(paths, merged, out), paths[0], out)
    refuse_assumed(assumed)
    from raysweep.record.reader import read_ledger

    view = read_ledger(paths[0])
    return _write(analyse_view(view), provenance(paths[0], view), paths[0], out)


def analyse_view(view: LedgerView) -> Analysis:
    """All that can be said of one run."""
    from raysweep.stats import analyse

    return analyse(view.table, view.planned, design=design_of(view), probes=view.probes)


def _refuse_folder(paths: Sequence[RunPath], out: RunPath | None, key: str) -> None:
    from raysweep.record.place import store_at
    from raysweep.record.reader import open_run

    if out is not None:
        if store_at(out).exists("run.json"):
            raise bad_input("is a run directory", "give another folder for the report", key=key, value=str(out))
    elif len(paths) > 1:
        raise bad_input("several runs need a folder for their report", f"give one with {key} DIR", key=key)
    else:
        open_run(paths[0])


def _write(analysis: Analysis, source: dict[str, Any], run: RunPath, out: RunPath | None) -> WrittenReport:
    from raysweep.record.place import store_at
    from raysweep.report import write_report

    # Into a run directory by its own store: its place may be a bucket.
    store, inside, where = (store_at(run), "report/", run / "report") if out is None else (store_at(out), "", out)
    with tempfile.TemporaryDirectory() as folder:
        files = {file.name: file.read_bytes() for file in write_report(analysis, Path(folder), source)}
    for name, data in files.items():
        store.replace(f"{inside}{name}", data)
    return WrittenReport(analysis, where / "report.html", files["report.json"].decode())
