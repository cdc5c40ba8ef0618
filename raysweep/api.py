"""The public Python API: load a sweep, run it, open a run, analyse, compare, calibrate. Import it as `raysweep`.

Belongs here: thin functions over what the commands use, values in and values out. They print nothing and never end the
process; errors are `raysweep.errors.RaysweepError` (InputError for bad input, UnsuitableError for a machine or cluster
that cannot enforce the bands, IncompleteError where there is nothing to look at yet).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import IncompleteError, bad_input

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.schedule.driver import Progress as _Progress
    from raysweep.stats import Analysis
    from raysweep.stats.calibrate import Calibration
    from raysweep.stats.compare import Comparison
    from raysweep.study.interruptible import InterruptibleRun
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
        from raysweep.plan.table import plan_table  # noqa: PLC0415 - pyarrow

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
        from raysweep.record.reader import open_run, read_plan  # noqa: PLC0415 - pyarrow

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
        from raysweep.study.status import read_status  # noqa: PLC0415 - pyarrow

        now = read_status(self._path)
        return Status(now.planned, now.done, now.running, dict(now.by_outcome), now.complete)

    def analyse(self) -> Analysis:
        """All findings, checks and sentences of the run, the same numbers as `raysweep report`.

        Returns:
            A frozen `Analysis`: `verdict` (sentences), `checks`, `findings` (inferential) and `details` (descriptive).
            Each Finding has estimand, model, arm, reference, bucket, facet, value, low, high, unit, level, method.

        """
        from raysweep.stats import analyse  # noqa: PLC0415 - as above
        from raysweep.study.sources import design_of  # noqa: PLC0415 - scipy

        view = self._view()
        return analyse(view.table, view.planned, design=design_of(view), probes=view.probes)

    def report(self, out: Place | None = None) -> Path | str:
        """Write report.html and report.json.

        Args:
            out: the folder; RUN/report where it is left out.

        Returns:
            The place of report.html.

        Raises:
            InputError: `out` is itself a run directory, or cannot be written.

        """
        from raysweep.record.place import store_at  # noqa: PLC0415 - as above
        from raysweep.report import write_report  # noqa: PLC0415 - as above
        from raysweep.study.sources import provenance  # noqa: PLC0415 - as above

        where = _path(out) if out is not None else self._path / "report"
        store = store_at(where)
        if store.exists("run.json"):
            raise bad_input("is a run directory", "give another folder for the report", key="out", value=str(where))
        with tempfile.TemporaryDirectory() as folder:
            for file in write_report(self.analyse(), Path(folder), provenance(self._path, self._view())):
                store.replace(file.name, file.read_bytes())
        page = where / "report.html"
        return page if isinstance(page, Path) else str(page)

    def _view(self) -> LedgerView:
        from raysweep.record.reader import read_ledger  # noqa: PLC0415 - as above

        return read_ledger(self._path)


def load(config: Place) -> Study:
    """Check a sweep and its tasks, and plan it; nothing is run.

    Args:
        config: the sweep's YAML file.

    Raises:
        InputError: with every problem of the file, or of all its tasks, at once (`error.problems`).

    """
    from raysweep.study.load import load_study  # noqa: PLC0415 - pydantic

    return Study(load_study(Path(config)))


def run(
    study: Study,
    run_dir: Place,
    *,
    progress: Callable[[Progress], None] | None = None,
    blocks: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Run:
    """Run a sweep, or resume it: the same call continues where an earlier one, or `raysweep run`, ended.

    Args:
        study: from `load`.
        run_dir: made where it is missing.
        progress: called on this thread's event loop as trials end. What it raises ends the run cleanly, is raised
            here, and the same call resumes.
        blocks: a pilot: only the first so many blocks.
        note: gets lines that `raysweep run` would print on standard error, such as images without a digest.

    Returns:
        The run. `status().complete` is False where blocks are left: platform failures used up their retries, the budget
        is spent, windows are still to come, or the registered rule stopped the sweep (`raysweep run --go-on` runs what
        is left).

    Raises:
        InputError: the directory is another sweep's, or cannot be written.
        UnsuitableError: this machine or cluster cannot enforce the bands.
        LockHeldError: another driver runs it now.
        KeyboardInterrupt: what was in flight is recorded as cancelled; the same call resumes.

    """
    running = _running(study, run_dir, progress, blocks, note)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _uninterrupted(running.to_its_end)
        return Run(_path(run_dir))
    with ThreadPoolExecutor(1, thread_name_prefix="raysweep-run") as pool:  # a notebook: its event loop runs already
        work = pool.submit(running.to_its_end)
        try:
            _uninterrupted(work.result)
        except KeyboardInterrupt:
            running.interrupt()
            raise
    return Run(_path(run_dir))


async def run_async(
    study: Study,
    run_dir: Place,
    *,
    progress: Callable[[Progress], None] | None = None,
    blocks: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Run:
    """As `run`, without blocking the caller's event loop; `progress` and `note` are called in another thread.

    Cancelling it interrupts the run and waits until what was in flight is recorded, however often it is cancelled; the
    same call resumes.
    """
    running = _running(study, run_dir, progress, blocks, note)
    # A future, no task: asyncio.run cancels every task when it ends, and this must be waited for.
    work = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, running.to_its_end)
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        running.interrupt()
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({work})
        work.exception()
        raise
    return Run(_path(run_dir))


def _running(
    study: Study,
    run_dir: Place,
    progress: Callable[[Progress], None] | None,
    blocks: int | None,
    note: Callable[[str], None] | None,
) -> InterruptibleRun:
    from raysweep.study.interruptible import InterruptibleRun  # noqa: PLC0415 - late, as in the commands
    from raysweep.study.notes import silent  # noqa: PLC0415 - as above
    from raysweep.study.run import RunOptions  # noqa: PLC0415 - as above

    if blocks is not None and blocks < 1:
        raise bad_input("not a number of blocks", "give 1 or more, or leave it out", key="blocks", value=str(blocks))

    def observe(now: _Progress) -> None:
        if progress is not None:
            progress(Progress(now.finished, now.in_flight, study.trials))

    options = RunOptions(blocks=blocks)
    return InterruptibleRun(study._study, _path(run_dir), options, observe, note or silent)  # noqa: SLF001 - of this module


def _uninterrupted(work: Callable[[], None]) -> None:
    from raysweep.study.interruptible import InterruptedRunError  # noqa: PLC0415 - late, as in the commands

    try:
        work()
    except InterruptedRunError:
        raise KeyboardInterrupt from None


def open_run(run_dir: Place) -> Run:
    """A run directory that is there.

    Raises:
        InputError: there is none at `run_dir`.

    """
    from raysweep.record.reader import open_run as opened  # noqa: PLC0415 - pyarrow

    path = _path(run_dir)
    opened(path)
    return Run(path)


def compare(
    a: Run, b: Run | None = None, *, models: tuple[str, str] | None = None, assume_comparable: Sequence[str] = ()
) -> Comparison:
    """Whether A is better than B beyond sampling and infrastructure noise.

    Args:
        a: a run.
        b: another run; left out: two models of `a`.
        models: the model of each side, where it is not clear which is meant.
        assume_comparable: fields of the methodology to take as alike.

    Returns:
        A frozen `Comparison`: `claim`, `delta` (a Finding), `per_band`, `pairs`, `spreads`.

    Raises:
        InputError: the two were not measured alike, or it is not clear what to compare.
        IncompleteError: a ledger is empty.

    """
    from raysweep.cli.compare import Options, comparison  # noqa: PLC0415 - scipy

    paths = [run._path for run in ((a,) if b is None else (a, b))]  # noqa: SLF001 - of this module
    return comparison(paths, models, Options(assumed=tuple(assume_comparable))).found


def calibrate(runs: Sequence[Run], *, floor: str | None = None, delta: float | None = None) -> Calibration:
    """How far limits may be raised without changing the benchmark.

    Args:
        runs: one run, or several with the same design.
        floor: the band to start from; the reference where it is left out.
        delta: the largest difference that counts as none, a fraction (0.02 is two points); the registered one where it
            is left out.

    Returns:
        A frozen `Calibration`: `status`, `recommended`, `ladders`, `declared`, `kill_curve`, `proposals`.

    """
    from raysweep.cli.calibrate import calibration_data  # noqa: PLC0415 - scipy
    from raysweep.stats.calibrate import calibrate as calibrated  # noqa: PLC0415 - as above

    if not runs:
        raise IncompleteError("no run to calibrate; give one at least")
    data = calibration_data([run._path for run in runs], ())  # noqa: SLF001 - of this module
    return calibrated(
        data.table, data.planned, data.design, floor=floor, delta=delta, infra_max=None, probes=data.probes
    )


def _path(place: Place) -> RunPath:
    from raysweep.record.place import run_path  # noqa: PLC0415 - obstore

    return run_path(str(place))


__all__: list[Any] = [
    "Progress", "Run", "Status", "Study", "calibrate", "compare", "load", "open_run", "run", "run_async",
]  # fmt: skip
