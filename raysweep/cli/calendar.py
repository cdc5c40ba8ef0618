"""`raysweep plan --calendar`: which window runs what, as a table and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from raysweep.config.buckets import DAY, WEEKDAYS
from raysweep.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from raysweep.cli.compose import Study
    from raysweep.plan.cost import Pilot
    from raysweep.plan.model import Block
    from raysweep.schedule.agenda import Agenda, Entry

NOTES = {
    "shorter": "shorter: the clocks change",
    "longer": "longer: the clocks change",
    "skipped": "never opens: the clocks skip it",
}


def make_agenda(study: Study, began: float, pilot: Pilot | None) -> Agenda | None:
    """The agenda of a sweep that begins at `began` (seconds since the epoch); None for one without windows.

    pilot: mean seconds of a trial; without it every trial counts with all its time limits.
    """
    from raysweep.cli.compose import calendar
    from raysweep.plan.cost import usage
    from raysweep.plan.model import Plan
    from raysweep.schedule.agenda import agenda

    sweep = study.sweep
    if sweep.buckets is None:
        return None

    def seconds(blocks: Sequence[Block]) -> float:
        part = Plan(study.plan.plan_id, tuple(blocks))
        return usage(part, study.tasks, sweep.budget, pilot, sweep.factors).wall_s(sweep.runner.concurrency)

    lengths = {w.name: w.length for w in sweep.windows}
    return agenda(study.plan.blocks, calendar(sweep, began), seconds, lengths, sweep.buckets.makeup_dates)


def agenda_json(found: Agenda, study: Study, pilot: Pilot | None) -> dict[str, Any]:
    """The `calendar` of `plan --calendar --json`.

    {timezone, load ("expected" or "at most"), windows, planned_end, end}; times are ISO 8601, `opens` and `closes`
    local with their offset, the others UTC; end is null where the make-up dates do not suffice. windows: {date (1, 2,
    ...), label, weekday (null for cycles), bucket, opens, closes, opens_utc, closes_utc, length_s, blocks, trials,
    seconds, fits, clock_change ("shorter", "longer", "skipped" or null)}.
    """
    zone = _zone(study)
    return {
        "timezone": zone.key,
        "load": _load(pilot),
        "windows": [_entry_json(e, zone, daily=_daily(study)) for e in found.entries],
        "planned_end": _iso(found.planned_end, ZoneInfo("UTC")),
        "end": None if found.end is None else _iso(found.end, ZoneInfo("UTC")),
    }


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
        "trials": entry.trials,
        "seconds": entry.seconds,
        "fits": entry.fits,
        "clock_change": entry.change,
    }


def agenda_table(found: Agenda, study: Study, pilot: Pilot | None) -> Table:
    """One line per planned occasion."""
    from rich import box
    from rich.table import Table

    zone, daily = _zone(study), _daily(study)
    zones = [zone] if zone.key == "UTC" else [zone, ZoneInfo("UTC")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("date", "window", *(text for z in zones for text in (f"opens ({z.key})", "closes"))):
        table.add_column(name, no_wrap=True)
    for name in ("blocks", "trials", f"takes ({_load(pilot)})", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note")
    previous = 0
    for e in found.entries:
        o = e.occasion
        day = f"{o.label} {_weekday(o.opens, zone)}" if daily else o.label
        clocks = [text for z in zones for text in _clock(o.opens, o.closes, z)]
        amounts = str(e.blocks), str(e.trials), format_duration(e.seconds), format_duration(o.length)
        table.add_row(day if o.date != previous else "", o.bucket, *clocks, *amounts, _note(e, pilot))
        previous = o.date
    return table


def agenda_lines(found: Agenda, study: Study, pilot: Pilot | None) -> Iterator[str]:
    """What the table adds up to: what does not fit, the clock changes, and the end."""
    zone = _zone(study)
    tight = [e for e in found.entries if not e.fits and e.change != "skipped"]
    if tight and pilot is not None:
        yield (
            f"{len(tight)} of {len(found.entries)} windows are too short for what they should hold: widen them, raise "
            "`runner.concurrency`, or spread `repeats` over more `dates`"
        )
    elif tight:
        yield (
            f"{len(tight)} of {len(found.entries)} windows are too short if every trial runs into all its time limits; "
            "a pilot (`raysweep run --blocks N`, then `--pilot RUN`) tells what to expect"
        )
    skipped = [e for e in found.entries if e.change == "skipped"]
    if skipped:
        yield f"{len(skipped)} windows never open; their blocks run on make-up dates: choose another start or window"
    yield f"the last planned window closes {_both(found.planned_end, zone)}"
    if found.end is None:
        yield "it will not be finished on the planned and the make-up dates at this load"
    else:
        yield (
            f"finished by {_both(found.end, zone)} at this load ({_load(pilot)}), if it begins now and no window is "
            "missed"
        )


def _note(entry: Entry, pilot: Pilot | None) -> str:
    notes = [NOTES[entry.change]] if entry.change else []
    if not entry.fits and entry.change != "skipped":
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
