"""Runs and windows: what an invocation `--until-window-end` may begin and says, and what a long run does in between."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import tell
from raysweep.errors import RaysweepError

if TYPE_CHECKING:
    from raysweep.clock import Clock
    from raysweep.config import Sweep
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.schedule.calendar import Calendar, Occasion
    from raysweep.schedule.resting import Releasable, Resting


@dataclass(frozen=True, slots=True)
class Turn:
    """One invocation. open: the occasion whose blocks may begin, None: none is open. end: nothing begins from then on.

    opens: when the next window opens that this sweep can use; None where none is left. Seconds since the epoch.
    """

    open: Occasion | None
    end: float
    opens: float | None


def last_date(sweep: Sweep) -> int:
    """Number of the last date on which blocks may run, make-up dates included."""
    return sweep.dates + (sweep.buckets.makeup_dates if sweep.buckets else 0)


def turn_at(calendar: Calendar, now: float, last_date: int) -> Turn:
    """The turn of an invocation at `now`. last_date: number of the last date, make-up dates included."""
    found = calendar.at(now)
    if found is not None and found.date > last_date:
        found = None
    opens = calendar.next_opening(now)
    coming = None if opens is None else calendar.at(opens)
    usable = coming is not None and coming.date <= last_date
    return Turn(found, now if found is None else found.closes, opens if usable else None)


def arrival(calendar: Calendar, now: float, last: float) -> float:
    """In virtual time: when the invocation after one that ended at `last` comes, at the earliest `now`.

    That is the next opening, where no window is open or the open one had its invocation.
    """
    found = calendar.at(now)
    if found is not None and not found.opens <= last:
        return now
    opening = calendar.next_opening(now)
    return now if opening is None else opening


def turn_json(turn: Turn) -> dict[str, Any]:
    """{window: {bucket, occasion, opens, closes} or null, next_opens}: times ISO 8601 in UTC, null for never."""
    o = turn.open
    window = None if o is None else {
        "bucket": o.bucket, "occasion": o.label, "opens": _utc(o.opens), "closes": _utc(o.closes)
    }  # fmt: skip
    return {"window": window, "next_opens": None if turn.opens is None else _utc(turn.opens)}


def parting(turn: Turn, missing: int, again: str) -> str:
    """What is said at the end of an invocation that leaves `missing` blocks. again: the command that goes on."""
    left = f"{missing} blocks are left"
    if turn.opens is None:
        return f"blocks remain ({missing}), but all planned and make-up windows are over. Run them later with: {again}"
    over = "no window is open" if turn.open is None else f"done with window {turn.open.bucket} of {turn.open.label}"
    return f"{over}; {left}; the next window opens {_utc(turn.opens)}: {again} --until-window-end"


def resting(inner: Releasable, clock: Clock, provider: SandboxProvider, run_id: str) -> Resting:
    """The executor without runners in long gaps between windows; what they leave is removed, as at a run's end."""
    from raysweep.schedule.resting import Resting

    async def cleared() -> None:
        try:
            await provider.gc(run_id)
        except (RaysweepError, OSError) as error:  # it can wait: the end of the run, and `raysweep gc`, do it again
            tell(f"not everything that runners left could be removed: {error}")

    return Resting(inner, clock, cleared)


def _utc(moment: float) -> str | None:
    """ISO 8601; None for a moment that never comes."""
    return None if moment == float("inf") else dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")
