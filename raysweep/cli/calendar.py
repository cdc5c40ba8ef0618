"""`raysweep plan --calendar`: which window runs what, as a table and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from raysweep.config.buckets import DAY, WEEKDAYS
from raysweep.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from raysweep.plan.cost import Pilot
    from raysweep.schedule.agenda import Agenda, Entry
    from raysweep.study.agenda import Begun
    from raysweep.study.load import Study

NOTES = {
    "shorter": "shorter: the clocks change",
    "longer": "longer: the clocks change",
    "skipped": "never opens: the clocks skip it",
}


def agenda_json(agenda: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> dict[str, Any]:
    """The `calendar` of `plan --calendar --json`.

    {timezone, load ("expected" or "at most"), windows, planned_end, end, run}; times are ISO 8601, `opens` and `closes`
    local with their offset, the others UTC; end is null where the make-up dates do not suffice. windows: {date (1, 2,
    ...), label, weekday (null for cycles), bucket, opens, closes, opens_utc, closes_utc, length_s, blocks, left (blocks
    that are not complete), trials, seconds, fits, clock_change ("shorter", "longer", "skipped" or null)}. run: {path,
    complete, left, waiting}, blocks, `waiting` of those left because their window is over; null where there is no run.
    When nothing is left, end is when the last attempt ended.
    """
    zone = _zone(study)
    return {
        "timezone": zone.key,
        "load": _load(pilot),
        "windows": [_entry_json(e, zone, daily=_daily(study)) for e in agenda.entries],
        "planned_end": _iso(agenda.planned_end, ZoneInfo("UTC")),
        "end": None if (end := _ending(agenda, run)) is None else _iso(end, ZoneInfo("UTC")),
        "run": None
        if run is None
        else {
            "path": str(run.path),
            "complete": sum(e.blocks for e in agenda.entries) - agenda.left,
            "left": agenda.left,
            "waiting": agenda.waiting,
        },
    }


def _ending(agenda: Agenda, run: Begun | None) -> float | None:
    return run.last if run is not None and not agenda.left else agenda.end


def _entry_json(entry: Entry, zone: ZoneInfo, *, daily: bool) -> dict[str, Any]:
    o, utc = entry.occasion, ZoneInfo("UTC")
    return {
        "date": o.date,
        "label": o.label,
        "weekday": _weekday(o.opens, zone) if daily else None,
        "bucket": o.bucket,
        "opens": _iso(o.opens, zone),
        "closes": _iso(o.closes, zone),
        "opens_utc": _iso(o.opens, utc),
        "closes_utc": _iso(o.closes, utc),
        "length_s": o.length,
        "blocks": entry.blocks,
        "left": entry.left,
        "trials": entry.trials,
        "seconds": entry.seconds,
        "fits": entry.fits,
        "clock_change": entry.change,
    }


def agenda_table(agenda: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> Table:
    """One line per planned occasion; what is done of each where there is a run."""
    from rich import box
    from rich.table import Table

    zone, daily = _zone(study), _daily(study)
    zones = [zone] if zone.key == "UTC" else [zone, ZoneInfo("UTC")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("date", "window", *(text for z in zones for text in (f"opens ({z.key})", "closes"))):
        table.add_column(name, no_wrap=True)
    for name in ("blocks", *(("done",) if run else ()), "trials", f"takes ({_load(pilot)})", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note")
    previous = 0
    for e in agenda.entries:
        o = e.occasion
        day = f"{o.label} {_weekday(o.opens, zone)}" if daily else o.label
        clocks = [text for z in zones for text in _clock(o.opens, o.closes, z)]
        done = (str(e.blocks - e.left),) if run else ()
        amounts = str(e.blocks), *done, str(e.trials), format_duration(e.seconds), format_duration(o.length)
        table.add_row(day if o.date != previous else "", o.bucket, *clocks, *amounts, _note(e, pilot))
        previous = o.date
    return table


def agenda_lines(agenda: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> Iterator[str]:
    """What the table adds up to: what does not fit, the clock changes, what is done, and the end."""
    zone = _zone(study)
    tight = [e for e in agenda.entries if not e.fits and e.change != "skipped"]
    if tight and pilot is not None:
        yield (
            f"{len(tight)} of {len(agenda.entries)} windows are too short for what they should hold: widen them, raise "
            "`runner.concurrency`, or spread `repeats` over more `dates`"
        )
    elif tight:
        yield (
            f"{len(tight)} of {len(agenda.entries)} windows are too short if every trial runs into all its time "
            "limits; a pilot (`raysweep run --blocks N`, then `--pilot RUN`) tells what to expect"
        )
    skipped = [e for e in agenda.entries if e.change == "skipped"]
    if skipped:
        yield f"{len(skipped)} windows never open; their blocks run on make-up dates: choose another start or window"
    yield f"the last planned window closes {_both(agenda.planned_end, zone)}"
    if run is not None:
        blocks = sum(e.blocks for e in agenda.entries)
        waiting = (
            f", {agenda.waiting} of the others missed their window and wait for later ones" if agenda.waiting else ""
        )
        yield f"{run.path}: {blocks - agenda.left} of {blocks} blocks are complete{waiting}"
    if run is not None and not agenda.left:
        yield f"finished at {_both(run.last, zone)}"
    elif agenda.end is None:
        yield "it will not be finished on the planned and the make-up dates at this load"
    else:
        begins = "begins now" if run is None else "goes on now"
        load = f"at this load ({_load(pilot)})"
        yield f"finished by {_both(agenda.end, zone)} {load}, if it {begins} and no window is missed"


def _note(entry: Entry, pilot: Pilot | None) -> str:
    notes = [NOTES[entry.change]] if entry.change else []
    if entry.waiting:
        notes.append(f"missed: {entry.left}")
    elif not entry.fits and entry.change != "skipped":
        notes.append("does not fit" if pilot is not None else "may not fit")
    return "; ".join(notes)


def _load(pilot: Pilot | None) -> str:
    return "at most" if pilot is None else "expected"


def _daily(study: Study) -> bool:
    return study.sweep.buckets is not None and study.sweep.buckets.period >= DAY


def _zone(study: Study) -> ZoneInfo:
    return ZoneInfo(study.sweep.buckets.timezone if study.sweep.buckets else "UTC")


def _local(moment: float, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(moment, zone)


def _weekday(moment: float, zone: ZoneInfo) -> str:
    return WEEKDAYS[_local(moment, zone).weekday()]


def _iso(moment: float, zone: ZoneInfo) -> str:
    return _local(moment, zone).isoformat(timespec="seconds")


def _clock(opens: float, closes: float, zone: ZoneInfo) -> tuple[str, str]:
    """Both bounds; the second with its day where that is another one."""
    first, last = _local(opens, zone), _local(closes, zone)
    shape = "%H:%M:%S" if first.second or last.second else "%H:%M"
    return f"{first:%m-%d {shape}}", f"{last:{shape if last.date() == first.date() else f'%m-%d {shape}'}}"


def _both(moment: float, zone: ZoneInfo) -> str:
    local = f"{_local(moment, zone):%Y-%m-%d %H:%M %Z}"
    return local if zone.key == "UTC" else f"{local} ({_local(moment, ZoneInfo('UTC')):%m-%d %H:%M} UTC)"
