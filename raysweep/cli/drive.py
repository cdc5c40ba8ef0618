"""A session's run on the terminal: its progress and its telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raysweep.cli.output import ProgressView, tell
from raysweep.cli.telemetry import Logs, Telemetry
from raysweep.study.drive import Watchers, stop_on_signals

if TYPE_CHECKING:
    from raysweep.schedule.driver import Progress
    from raysweep.study.session import Session


@contextmanager
def shown(session: Session, metrics_port: int | None, logs: Logs) -> Iterator[Watchers]:
    """What shows a run on the terminal and to machines, and lets Ctrl-C end it."""
    from raysweep.study.images import moved_tags, some

    planned, done, run_id = session.study.plan.trials, session.state.done, session.facts.run_id
    if done:
        tell(f"resuming {session.path}: {done} of {planned} trials are done")
    if 0 < done < planned and (moved := moved_tags(session.study.sweep, session.images)):
        tell(f"warning: moved since the run was made: {some(moved)}; the run keeps the digests of its plan")
    with (
        Telemetry(run_id, planned, done, metrics_port, logs) as telemetry,
        ProgressView(planned, done, _last_opening(session)) as view,
    ):

        def observe(progress: Progress) -> None:
            view(progress)
            telemetry.progress(progress)

        yield Watchers(observe, lambda driver: stop_on_signals(driver, tell), telemetry.row, tell)


def _last_opening(session: Session) -> float | None:
    """When the last planned window of this sweep opens (epoch seconds): no sweep is done before."""
    from raysweep.study import compose

    blocks = session.study.plan.blocks[: session.blocks] if session.blocks else session.study.plan.blocks
    calendar = compose.calendar(session.study.sweep, session.facts.created)
    return max(
        (calendar.occasion(bucket, date).opens for bucket, date in {(b.bucket, b.date) for b in blocks}), default=None
    )
