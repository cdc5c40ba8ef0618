"""What the API's functions take and give: a study, a run, its progress and its status."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Analysis
    from raysweep.study.load import Study as _Study

Place = str | Path
"""A run directory: a local folder, or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."""


@dataclass(frozen=True)
class Study:
    """A sweep that was checked, with its tasks and its plan; made by `load`."""

    _study: _Study

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self._study.sweep.name

    @property
    def trials(self) -> int:
        """Number of planned trials."""
        return self._study.plan.trials

    @cached_property
    def plan(self) -> pa.Table:
        """The planned trials, one row each: columns of plan.parquet (block_id, trial_id, task, model, band, ...)."""
        from raysweep.plan.table import plan_table

        study = self._study
        return plan_table(study.plan, study.sweep, list(study.tasks.values()))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. finished: trials done by this call; running: attempts in flight; planned: trials of the plan."""

    finished: int
    running: int
    planned: int


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is, over final attempts; by_outcome: trials by outcome, with the cause after a slash."""

    planned: int
    done: int
    running: int
    by_outcome: dict[str, int]
    complete: bool


class Run:
    """A run directory, read when it is asked for; made by `open_run` and `run`."""

    def __init__(self, path: RunPath) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"Run({str(self._path)!r})"

    @property
    def path(self) -> str:
        """Where it is."""
        return str(self._path)

    @property
    def plan(self) -> pa.Table:
        """The planned trials, as `Study.plan`."""
        from raysweep.record.reader import open_run, read_plan

        return read_plan(open_run(self._path), str(self._path))

    @property
    def attempts(self) -> pa.Table:
        """Every attempt, in the order of sealing: the columns of the ledger and is_final (bool).

        Raises:
            InputError: a part of the run directory is missing, damaged, or needs a newer raysweep.

        """
        return self._view().table

    @property
    def trials(self) -> pa.Table:
        """The final attempt of each trial that has one, one row a trial: columns as `attempts`."""
        table = self.attempts
        return table.filter(table["is_final"])

    def status(self) -> Status:
        """How far the run is."""
        from raysweep.study.status import read_status

        now = read_status(self._path)
        return Status(now.planned, now.done, now.running, dict(now.by_outcome), now.complete)

    def analyse(self) -> Analysis:
        """All findings, checks and sentences of the run, the same numbers as `raysweep report`.

        Returns:
            A frozen `Analysis`: `verdict` (sentences), `checks`, `findings` (inferential) and `details` (descriptive).
            Each Finding has estimand, model, arm, reference, bucket, facet, value, low, high, unit, level, method.

        """
        from raysweep.study.report import analyse_view

        return analyse_view(self._view())

    def report(self, out: Place | None = None) -> Path | str:
        """Write report.html and report.json.

        Args:
            out: the folder; RUN/report where it is left out.

        Returns:
            The place of report.html.

        Raises:
            InputError: `out` is itself a run directory, or cannot be written.

        """
        from raysweep.study.report import report_runs

        page = report_runs([self._path], None if out is None else path_of(out)).page
        return page if isinstance(page, Path) else str(page)

    def _view(self) -> LedgerView:
        from raysweep.record.reader import read_ledger

        return read_ledger(self._path)


def load(config: Place) -> Study:
    """Check a sweep and its tasks, and plan it; nothing is run.

    Args:
        config: the sweep's YAML file.

    Raises:
        InputError: with every problem of the file, or of all its tasks, at once (`error.problems`).

    """
    from raysweep.study.load import load_study

    return Study(load_study(Path(config)))


def open_run(run_dir: Place) -> Run:
    """A run directory that is there.

    Raises:
        InputError: there is none at `run_dir`.

    """
    from raysweep.record.reader import open_run as opened

    path = path_of(run_dir)
    opened(path)
    return Run(path)


def path_of(place: Place) -> RunPath:
    """The place as the record takes it."""
    from raysweep.record.place import run_path

    return run_path(str(place))
