"""Runs and windows: what an invocation that ends with its window may begin, and what a long run does in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.errors import RaysweepError
from raysweep.study.notes import Note

if TYPE_CHECKING:
    from raysweep.clock import Clock
    from raysweep.config import Sweep
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.schedule.calendar import Calendar, Occasion
    from raysweep.schedule.resting import Releasable, Resting


@dataclass(frozen=True, slots=True)
class Invocation:
    """The window of one invocation. open: the occasion whose blocks may begin, None: none is open. end: of beginnings.

    opens: when the next window opens that this sweep can use; None where none is left. Seconds since the epoch.
    """

    open: Occasion | None
    end: float
    opens: float | None


def last_date(sweep: Sweep) -> int:
    """Number of the last date on which blocks may run, make-up dates included."""
    return sweep.dates + (sweep.buckets.makeup_dates if sweep.buckets else 0)


def invocation_at(calendar: Calendar, now: float, last_date: int) -> Invocation:
    """The window of an invocation at `now`. last_date: number of the last date, make-up dates included."""
    current = calendar.at(now)
    if current is not None and current.date > last_date:
        current = None
    opens = calendar.next_opening(now)
    coming = None if opens is None else calendar.at(opens)
    usable = coming is not None and coming.date <= last_date
    return Invocation(current, now if current is None else current.closes, opens if usable else None)


def arrival(calendar: Calendar, now: float, last: float) -> float:
    """In virtual time: when the invocation after one that ended at `last` comes, at the earliest `now`.

    That is the next opening, where no window is open or the open one had its invocation.
    """
    current = calendar.at(now)
    if current is not None and not current.opens <= last:
        return now
    opening = calendar.next_opening(now)
    return now if opening is None else opening


def resting(inner: Releasable, clock: Clock, provider: SandboxProvider, run_id: str, note: Note) -> Resting:
    """The executor without runners in long gaps between windows; what they leave is removed, as at a run's end."""
    from raysweep.schedule.resting import Resting

    async def cleared() -> None:
        try:
            await provider.gc(run_id)
        except (RaysweepError, OSError) as error:  # it can wait: the end of the run, and `raysweep gc`, do it again
            note(f"not everything that runners left could be removed: {error}")

    return Resting(inner, clock, cleared)
