"""`raysweep report`: the analysis of one run or several, on the terminal and as report.html and report.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raysweep.cli.output import emit, say
from raysweep.study.report import report_runs

if TYPE_CHECKING:
    from raysweep.record.place import RunPath


def report_command(paths: Sequence[RunPath], out: RunPath | None, assumed: Sequence[str], *, as_json: bool) -> None:
    """Write the report and print its verdict, or the whole of it as JSON.

    One run: into `out`, else into RUN/report. Several: merged, into `out`, which must be given; assumed: fields of
    methodology to take as alike. Errors as `report_runs`.
    """
    written = report_runs(paths, out, assumed, key="--out")
    if as_json:
        emit(json.loads(written.document))
        return
    from rich.console import Console

    from raysweep.report import print_report

    print_report(written.analysis, Console())
    say(f"report: {written.page}")
