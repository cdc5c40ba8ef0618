"""Running a study, in this thread or beside the caller's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from raysweep.api.values import Place, Progress, Run, Study, path_of
from raysweep.errors import bad_input

if TYPE_CHECKING:
    from raysweep.schedule.driver import Progress as _Progress
    from raysweep.study.interruptible import InterruptibleRun


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
        return Run(path_of(run_dir))
    with ThreadPoolExecutor(1, thread_name_prefix="raysweep-run") as pool:  # a notebook: its event loop runs already
        work = pool.submit(running.to_its_end)
        try:
            _uninterrupted(work.result)
        except KeyboardInterrupt:
            running.interrupt()
            raise
    return Run(path_of(run_dir))


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
    return Run(path_of(run_dir))


def _running(
    study: Study,
    run_dir: Place,
    progress: Callable[[Progress], None] | None,
    blocks: int | None,
    note: Callable[[str], None] | None,
) -> InterruptibleRun:
    from raysweep.study.interruptible import InterruptibleRun
    from raysweep.study.notes import silent
    from raysweep.study.run import RunOptions

    if blocks is not None and blocks < 1:
        raise bad_input("not a number of blocks", "give 1 or more, or leave it out", key="blocks", value=str(blocks))

    def observe(now: _Progress) -> None:
        if progress is not None:
            progress(Progress(now.finished, now.in_flight, study.trials))

    options = RunOptions(blocks=blocks)
    return InterruptibleRun(study._study, path_of(run_dir), options, observe, note or silent)  # noqa: SLF001 - of this package


def _uninterrupted(work: Callable[[], None]) -> None:
    from raysweep.study.interruptible import InterruptedRunError

    try:
        work()
    except InterruptedRunError:
        raise KeyboardInterrupt from None
