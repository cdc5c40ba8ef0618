"""`raysweep plan --calendar`: which window runs what, as a table and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from raysweep.config.buckets import DAY, WEEKDAYS
from raysweep.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from raysweep.plan.cost import Pilot
    from raysweep.plan.model import Block
    from raysweep.record.place import RunPath
    from raysweep.schedule.agenda import Agenda, Entry, SoFar
    from raysweep.study.load import Study

NOTES = {
    "shorter": "shorter: the clocks change",
    "longer": "longer: the clocks change",
    "skipped": "never opens: the clocks skip it",
}


@dataclass(frozen=True, slots=True)
class Begun:
    """The run of a sweep so far. began, last: when it was made and when its last attempt ended, epoch seconds."""

    path: RunPath
    began: float
    last: float
    so_far: SoFar


def begun(study: Study, path: RunPath) -> Begun | None:
    """What there is of the study's run at `path`; None where there is none. InputError: it is another sweep's."""
    from raysweep.record.place import store_at
    from raysweep.schedule.agenda import SoFar
    from raysweep.study.directory import run_directory
    from raysweep.study.session import open_session

    if not store_at(path).exists("run.json"):
        return None
    session = open_session(study, path, *run_directory(study, path), None)
    so_far = SoFar(session.clock.now(), session.state.complete)
    return Begun(path, session.facts.created, session.state.last, so_far)


def make_agenda(study: Study, now: float, pilot: Pilot | None, run: Begun | None = None) -> Agenda | None:
    """The agenda of a sweep that begins `now` (seconds since the epoch), or goes on; None for one without windows.

    pilot: mean seconds of a trial; without it every trial counts with all its time limits. run: what there is of it.
    """
    from raysweep.plan.cost import usage
    from raysweep.plan.model import Plan
    from raysweep.schedule.agenda import NOT_BEGUN, agenda
    from raysweep.study.compose import calendar

    sweep = study.sweep
    if sweep.buckets is None:
        return None

    def seconds(blocks: Sequence[Block]) -> float:
        part = Plan(study.plan.plan_id, tuple(blocks))
        return usage(part, study.tasks, sweep.budget, pilot, sweep.factors).wall_s(sweep.runner.concurrency)

    lengths = {w.name: w.length for w in sweep.windows}
    windows, so_far = calendar(sweep, run.began if run else now), run.so_far if run else NOT_BEGUN
    return agenda(study.plan.blocks, windows, seconds, lengths, sweep.buckets.makeup_dates, so_far)


def agenda_json(found: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> dict[str, Any]:
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
        "windows": [_entry_json(e, zone, daily=_daily(study)) for e in found.entries],
        "planned_end": _iso(found.planned_end, ZoneInfo("UTC")),
        "end": None if (end := _ending(found, run)) is None else _iso(end, ZoneInfo("UTC")),
        "run": None
        if run is None
        else {
            "path": str(run.path),
            "complete": sum(e.blocks for e in found.entries) - found.left,
            "left": found.left,
            "waiting": found.waiting,
        },
    }


def _ending(found: Agenda, run: Begun | None) -> float | None:
    return run.last if run is not None and not found.left else found.end


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


def agenda_table(found: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> Table:
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
    for e in found.entries:
        o = e.occasion
        day = f"{o.label} {_weekday(o.opens, zone)}" if daily else o.label
        clocks = [text for z in zones for text in _clock(o.opens, o.closes, z)]
        done = (str(e.blocks - e.left),) if run else ()
        amounts = str(e.blocks), *done, str(e.trials), format_duration(e.seconds), format_duration(o.length)
        table.add_row(day if o.date != previous else "", o.bucket, *clocks, *amounts, _note(e, pilot))
        previous = o.date
    return table


def agenda_lines(found: Agenda, study: Study, pilot: Pilot | None, run: Begun | None = None) -> Iterator[str]:
    """What the table adds up to: what does not fit, the clock changes, what is done, and the end."""
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
    if run is not None:
        blocks = sum(e.blocks for e in found.entries)
        waiting = (
            f", {found.waiting} of the others missed their window and wait for later ones" if found.waiting else ""
        )
        yield f"{run.path}: {blocks - found.left} of {blocks} blocks are complete{waiting}"
    if run is not None and not found.left:
        yield f"finished at {_both(run.last, zone)}"
    elif found.end is None:
        yield "it will not be finished on the planned and the make-up dates at this load"
    else:
        begins = "begins now" if run is None else "goes on now"
        load = f"at this load ({_load(pilot)})"
        yield f"finished by {_both(found.end, zone)} {load}, if it {begins} and no window is missed"


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
