"""`raysweep compare`: two runs, or two models of one run, to the two verdicts and the exit code that says the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysweep.cli.output import emit
from raysweep.errors import ExitCode
from raysweep.study.compare import CompareOptions, compare_runs, provenance_by_path

if TYPE_CHECKING:
    from raysweep.record.place import RunPath

EXIT = {
    "beyond noise": ExitCode.OK,
    "leads, not at every resource setting": ExitCode.CLAIM_FAILS,
    "not beyond noise": ExitCode.CLAIM_FAILS,
    "not enough data": ExitCode.INCOMPLETE,
}


def compare_command(
    first: RunPath, second: RunPath | None, models: tuple[str, str] | None, options: CompareOptions, *, as_json: bool
) -> int:
    """Compare and print; returns the exit code: 0 better, 1 not, 3 not enough data. Errors as `compare_runs`."""
    from raysweep.report.comparison import comparison_document, print_comparison

    paths = [first] if second is None else [first, second]
    made = compare_runs(paths, models, options)
    if as_json:
        runs, where = [v.facts.run_id for v in made.views], provenance_by_path(paths, made.views)
        emit(comparison_document(made.comparison, runs=runs, provenance=where, assumed=made.assumed, noted=made.noted))
    else:
        from rich.console import Console

        print_comparison(made.comparison, Console(), assumed=made.assumed, noted=made.noted)
    return EXIT[made.comparison.claim]
