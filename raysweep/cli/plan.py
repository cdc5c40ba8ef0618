"""`raysweep plan`: the design, what it costs and what it can show, before anything runs; writes plan.parquet."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say, tell
from raysweep.clock import SystemClock
from raysweep.errors import bad_input
from raysweep.study.agenda import make_agenda, own_durations, run_so_far
from raysweep.study.estimate import Expected, estimate_study, pilot_view, registered, write_plan
from raysweep.study.load import load_study

if TYPE_CHECKING:
    from raysweep.plan.cost import Pilot
    from raysweep.record.place import RunPath
    from raysweep.schedule.agenda import Agenda
    from raysweep.study.agenda import Begun
    from raysweep.study.load import Study


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
    from raysweep.plan.describe import describe

    if run_dir is not None and not calendar:
        raise bad_input("`--run-dir` only applies together with `--calendar`", "add --calendar", key="--run-dir")
    study = load_study(path)
    expected = estimate_study(study, pilot_view(pilot, tell) if pilot else None, rate, infra_rate)
    write_plan(study, out, tell, look=images)
    if as_json:
        emit({**plan_json(study, expected, out), **(_calendar_json(study, expected, run_dir) if calendar else {})})
        return
    lines = describe(study.plan, study.sweep, expected.cost, expected.smallest)
    for line in (*lines, _registered_line(study), f"plan: {out}"):
        say(line)
    if calendar:
        _print_calendar(study, expected, run_dir)


def plan_json(study: Study, expected: Expected, out: Path) -> dict[str, Any]:
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
        "cost": asdict(expected.cost),
        "detectable": asdict(expected.smallest),
        "power": asdict(expected.power),
        "registered": registered(study),
        "plan": str(out),
    }


def _agenda(
    study: Study, expected: Expected, run_dir: RunPath | None
) -> tuple[Agenda | None, Pilot | None, Begun | None]:
    """The agenda, the durations that it expects, and the run so far."""
    run = run_so_far(study, run_dir, tell)
    durations = expected.durations or own_durations(run)
    return make_agenda(study, SystemClock().now(), durations, run), durations, run


def _calendar_json(study: Study, expected: Expected, run_dir: RunPath | None) -> dict[str, Any]:
    from raysweep.cli.calendar import agenda_json

    agenda, durations, run = _agenda(study, expected, run_dir)
    return {"calendar": None if agenda is None else agenda_json(agenda, study, durations, run)}


def _print_calendar(study: Study, expected: Expected, run_dir: RunPath | None) -> None:
    from rich.console import Console

    from raysweep.cli.calendar import agenda_lines, agenda_table

    agenda, durations, run = _agenda(study, expected, run_dir)
    if agenda is None:
        say("calendar: one bucket that is always open; name windows in `buckets` to compare times of day")
        return
    # A pipe has no width: a table that is cut at 80 columns would lose what it is for.
    Console(width=None if sys.stdout.isatty() else 200).print(agenda_table(agenda, study, durations, run))
    for line in agenda_lines(agenda, study, durations, run):
        say(line)


def _registered_line(study: Study) -> str:
    """What the first run will register."""
    analysis, sweep = registered(study), study.sweep
    if analysis is None:
        return "registered: nothing; without an `analysis` section everything in the report is exploratory"
    bands = analysis["contrasts"] or [b.name for b in sweep.bands if b.name != sweep.reference]
    against = f"of {', '.join(bands)} against {sweep.reference}" if bands else "(one band: no contrast)"
    for name, levels in analysis.get("factors", {}).items():
        against += f" and of {name} {', '.join(levels)} against {sweep.factors.declared[name].reference}"
    looks = f", {analysis['looks']} looks" if analysis["looks"] else ", no look before the end"
    return f"registered: {analysis['primary']} {against}, ±{100 * analysis['delta']:g} points count as none{looks}"
