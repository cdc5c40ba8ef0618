"""Which window of a sweep runs what, for a sweep that begins now or one that has begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.errors import InputError, bad_input
from raysweep.study.estimate import SPANS, mean_seconds
from raysweep.study.notes import Note, silent

if TYPE_CHECKING:
    from raysweep.plan.cost import Pilot
    from raysweep.plan.model import Block
    from raysweep.record.place import RunPath
    from raysweep.schedule.agenda import Agenda, SoFar
    from raysweep.study.load import Study


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


def run_so_far(study: Study, run_dir: RunPath | None, note: Note = silent) -> Begun | None:
    """What there is of the run at `run_dir`, else where `run` keeps it unless told otherwise.

    note: hears where the usual place has another sweep's run. InputError where a run directory is named that is not
    there, or is another sweep's.
    """
    if study.sweep.buckets is None:
        return None
    if run_dir is not None:
        named = begun(study, run_dir)
        if named is None:
            remedy = "name the run's own, or leave it out for a run that is yet to begin"
            raise bad_input("not a run directory", remedy, file=str(run_dir), key="--run-dir")
        return named
    usual = Path("runs") / study.sweep.name
    try:
        return begun(study, usual)
    except InputError:
        note(f"{usual} is no run of this sweep as it is now: the calendar is that of a new one")
        return None


def own_durations(run: Begun | None) -> Pilot | None:
    """Mean seconds of the trials that ended in this very run, where there are any."""
    from raysweep.record.reader import open_run, read_attempts

    if run is None:
        return None
    return mean_seconds(read_attempts(open_run(run.path), ("attempt_id", *SPANS)))
