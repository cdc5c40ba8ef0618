"""`raysweep plan`: the design, what it costs and what it can show, before anything runs; writes plan.parquet."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say, tell
from raysweep.clock import SystemClock
from raysweep.errors import InputError, bad_input
from raysweep.study.load import load_study

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.cli.calendar import Begun
    from raysweep.plan.cost import Estimate, Pilot
    from raysweep.plan.describe import Detectable
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats.planning import Assumed, Planning
    from raysweep.study.load import Study

SPANS = ("t_created", "t_stopped", "t_agent_start", "t_agent_end")
"""Columns that durations are made of."""


def plan_command(
    path: Path,
    out: Path,
    pilot: RunPath | None,
    *,
    as_json: bool,
    rate: float | None = None,
    infra_rate: float | None = None,
    images: bool = False,
    calendar: bool = False,
    run_dir: RunPath | None = None,
) -> None:
    """Print the plan of a sweep and write it to `out`; InputError when the sweep (or the pilot's run) is not sound.

    pilot: a run directory whose mean durations, success rates and variances stand for the coming trials. rate,
    infra_rate: mean success and share of deaths at the reference to assume without a pilot, fractions. images: resolve
    images to digests by asking their registries, as `run` does when it makes a run; else nothing is asked. calendar:
    tell which window runs what, for a sweep that begins now, or goes on where its run directory is there. run_dir: that
    directory, as `run` takes it; without a pilot it tells the durations of the calendar itself.

    With as_json: the object of plan_json.
    """
    from raysweep.plan.cost import estimate
    from raysweep.plan.describe import describe

    if run_dir is not None and not calendar:
        raise bad_input("`--run-dir` only applies together with `--calendar`", "add --calendar", key="--run-dir")
    study = load_study(path)
    view = _pilot_view(pilot) if pilot else None
    durations = _mean_seconds(view.table) if view else None
    cost = estimate(study.plan, study.sweep, list(study.tasks.values()), durations)
    power, smallest = _power(study, _assumed(view, rate, infra_rate))
    _write_table(study, out, look=images)
    if as_json:
        told = plan_json(study, cost, power, smallest, out)
        emit({**told, **(_calendar_json(study, durations, run_dir) if calendar else {})})
        return
    for line in (*describe(study.plan, study.sweep, cost, smallest), _registered_line(study), f"plan: {out}"):
        say(line)
    if calendar:
        _print_calendar(study, durations, run_dir)


def _write_table(study: Study, out: Path, *, look: bool) -> None:
    import pyarrow.parquet as pq

    from raysweep.plan.table import plan_table
    from raysweep.study.images import resolve_images

    out.parent.mkdir(parents=True, exist_ok=True)
    table = plan_table(study.plan, study.sweep, list(study.tasks.values()), resolve_images(study, tell, look=look))
    pq.write_table(table, out, compression="zstd")


def plan_json(study: Study, cost: Estimate, power: Planning, smallest: Detectable, out: Path) -> dict[str, Any]:
    """{plan_id, trials, blocks, plan (the file), cost, detectable, power, registered}, and calendar where it is asked.

    cost: fields of plan.cost.Estimate. detectable, the first line on power: {points (null: none), basis, further (the
    lines below it)}. power, the same as numbers (fields of stats.planning.Planning): level, power, assumption,
    contrast_sampled, contrast_fixed, half_width_sampled, half_width_fixed, targets (one for 2, 3 and 6 points each:
    points, sampled, fixed, width_sampled, width_fixed in repeats), infra_before, infra_after, delta,
    equivalence_power, equivalence_repeats, amplitude, amplitude_dates, looks ([dates, |z|] each). Contrasts, widths and
    amplitudes are percentage points, infra_* percent, level and power fractions; null is what cannot be had.
    registered: {primary, contrasts, delta, confidence, looks, reference}, and factors where levels are registered; null
    where the sweep states no analysis section. calendar: see cli.calendar.agenda_json; null where the sweep has no
    windows.
    """
    return {
        "plan_id": study.plan.plan_id,
        "trials": study.plan.trials,
        "blocks": len(study.plan.blocks),
        "cost": asdict(cost),
        "detectable": asdict(smallest),
        "power": asdict(power),
        "registered": _registered(study),
        "plan": str(out),
    }


def _calendar_json(study: Study, durations: Pilot | None, run_dir: RunPath | None) -> dict[str, Any]:
    from raysweep.cli.calendar import agenda_json, make_agenda

    run = _run_so_far(study, run_dir)
    durations = durations or _own_durations(run)
    found = make_agenda(study, SystemClock().now(), durations, run)
    return {"calendar": None if found is None else agenda_json(found, study, durations, run)}


def _print_calendar(study: Study, durations: Pilot | None, run_dir: RunPath | None) -> None:
    from rich.console import Console

    from raysweep.cli.calendar import agenda_lines, agenda_table, make_agenda

    run = _run_so_far(study, run_dir)
    durations = durations or _own_durations(run)
    found = make_agenda(study, SystemClock().now(), durations, run)
    if found is None:
        say("calendar: one bucket that is always open; name windows in `buckets` to compare times of day")
        return
    # A pipe has no width: a table that is cut at 80 columns would lose what it is for.
    Console(width=None if sys.stdout.isatty() else 200).print(agenda_table(found, study, durations, run))
    for line in agenda_lines(found, study, durations, run):
        say(line)


def _run_so_far(study: Study, run_dir: RunPath | None) -> Begun | None:
    """What there is of the run at `run_dir`, else where `run` keeps it unless told otherwise.

    InputError where a run directory is named that is not there, or is another sweep's.
    """
    from raysweep.cli.calendar import begun

    if study.sweep.buckets is None:
        return None
    if run_dir is not None:
        found = begun(study, run_dir)
        if found is None:
            remedy = "name the run's own, or leave it out for a run that is yet to begin"
            raise bad_input("not a run directory", remedy, file=str(run_dir), key="--run-dir")
        return found
    usual = Path("runs") / study.sweep.name
    try:
        return begun(study, usual)
    except InputError:
        tell(f"{usual} is no run of this sweep as it is now: the calendar is that of a new one")
        return None


def _own_durations(run: Begun | None) -> Pilot | None:
    """Mean seconds of the trials that ended in this very run, where there are any."""
    from raysweep.record.reader import open_run, read_attempts

    if run is None:
        return None
    return _mean_seconds(read_attempts(open_run(run.path), ("attempt_id", *SPANS)))


def _pilot_view(path: RunPath) -> LedgerView | None:
    """The pilot's ledger; None, and a word about it, where it holds no finished trial. InputError: no run directory."""
    import pyarrow.compute as pc

    from raysweep.record.reader import read_ledger

    view = read_ledger(path)
    if pc.any(pc.is_valid(view.table["t_agent_end"])).as_py():
        return view
    tell(f"{path}: no trial of the pilot has finished; what is expected rests on assumptions alone")
    return None


def _mean_seconds(table: pa.Table) -> Pilot | None:
    """Mean seconds of a trial and of its agent; None where no agent has ended. table: columns SPANS."""
    import pyarrow.compute as pc

    from raysweep.plan.cost import Pilot

    table = table.filter(pc.is_valid(table["t_agent_end"]))
    if not len(table):
        return None
    created, stopped, start, end = (table[name].cast("int64") for name in SPANS)
    return Pilot(*(pc.mean(pc.subtract(b, a)).as_py() / 1e6 for a, b in ((created, stopped), (start, end))))


def _assumed(view: LedgerView | None, rate: float | None, infra_rate: float | None) -> Assumed:
    """Rates and variances of the pilot, else the stated ones; InputError where both are given, or a rate is none."""
    from raysweep.stats.pilot import pilot_rates
    from raysweep.stats.planning import STUDY_INFRA, stated
    from raysweep.study.sources import design_of

    if view is not None:
        if rate is not None or infra_rate is not None:
            raise bad_input("`--pilot` already sets the rates", "drop `--rate` and `--infra-rate`")
        found = pilot_rates(view.table, view.planned, design_of(view))
        if found is not None:
            return found
    try:
        return stated(0.5 if rate is None else rate, STUDY_INFRA if infra_rate is None else infra_rate)
    except ValueError as error:
        raise bad_input(str(error), "write fractions such as 0.45 and 0.058") from None


def _power(study: Study, assumed: Assumed) -> tuple[Planning, Detectable]:
    """What this plan can show: the one place where plan and stats meet."""
    from raysweep.plan.describe import Detectable
    from raysweep.plan.design import arms_of
    from raysweep.stats.planning import PlanSize, basis, lines, plan_power, smallest

    sweep = study.sweep
    shape = PlanSize(
        tasks=len(study.tasks),
        repeats=sweep.repeats,
        buckets=len(sweep.bucket_names),
        dates=sweep.dates,
        arms=len(arms_of(sweep)),
        confidence=sweep.analysis.confidence,
        delta=sweep.analysis.delta,
        looks=sweep.analysis.looks,
    )
    power = plan_power(shape, assumed)
    return power, Detectable(smallest(power), basis(power, shape), lines(power, shape))


def _registered(study: Study) -> dict[str, Any] | None:
    sweep = study.sweep
    if not sweep.registered:
        return None
    return {**sweep.analysis.registered(), "reference": sweep.reference}


def _registered_line(study: Study) -> str:
    """What the first run will register."""
    told, sweep = _registered(study), study.sweep
    if told is None:
        return "registered: nothing; without an `analysis` section everything in the report is exploratory"
    bands = told["contrasts"] or [b.name for b in sweep.bands if b.name != sweep.reference]
    against = f"of {', '.join(bands)} against {sweep.reference}" if bands else "(one band: no contrast)"
    for name, levels in told.get("factors", {}).items():
        against += f" and of {name} {', '.join(levels)} against {sweep.factors.declared[name].reference}"
    looks = f", {told['looks']} looks" if told["looks"] else ", no look before the end"
    return f"registered: {told['primary']} {against}, ±{100 * told['delta']:g} points count as none{looks}"
