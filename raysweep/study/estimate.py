"""What a plan costs and what it can show, before anything runs, and plan.parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import bad_input
from raysweep.study.notes import Note, silent
from raysweep.study.sources import design_of

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.plan.cost import Estimate, Pilot
    from raysweep.plan.describe import Detectable
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats.planning import Assumed, Planning
    from raysweep.study.load import Study

SPANS = ("t_created", "t_stopped", "t_agent_start", "t_agent_end")
"""Columns that durations are made of."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a plan. durations: mean seconds of the pilot's trials, None without a pilot."""

    durations: Pilot | None
    cost: Estimate
    power: Planning
    smallest: Detectable


def pilot_view(path: RunPath, note: Note = silent) -> LedgerView | None:
    """The pilot's ledger; None, and a note, where it holds no finished trial. InputError: no run directory."""
    import pyarrow.compute as pc

    from raysweep.record.reader import read_ledger

    view = read_ledger(path)
    if pc.any(pc.is_valid(view.table["t_agent_end"])).as_py():
        return view
    note(f"{path}: no trial of the pilot has finished; what is expected rests on assumptions alone")
    return None


def mean_seconds(table: pa.Table) -> Pilot | None:
    """Mean seconds of a trial and of its agent; None where no agent has ended. table: columns SPANS."""
    import pyarrow.compute as pc

    from raysweep.plan.cost import Pilot

    table = table.filter(pc.is_valid(table["t_agent_end"]))
    if not len(table):
        return None
    created, stopped, start, end = (table[name].cast("int64") for name in SPANS)
    return Pilot(*(pc.mean(pc.subtract(b, a)).as_py() / 1e6 for a, b in ((created, stopped), (start, end))))


def estimate_study(study: Study, pilot: LedgerView | None, rate: float | None, infra_rate: float | None) -> Expected:
    """What the plan costs and what it can show.

    Args:
        study: the sweep with its plan.
        pilot: from `pilot_view`, whose mean durations, rates and variances stand for the coming trials.
        rate: mean success to assume without a pilot, a fraction.
        infra_rate: share of deaths at the reference to assume without a pilot, a fraction.

    Raises:
        InputError: rates are given beside a pilot, or are no fractions.

    """
    from raysweep.plan.cost import estimate

    durations = mean_seconds(pilot.table) if pilot else None
    cost = estimate(study.plan, study.sweep, list(study.tasks.values()), durations)
    power, smallest = _power(study, _assumed(pilot, rate, infra_rate))
    return Expected(durations, cost, power, smallest)


def registered(study: Study) -> dict[str, Any] | None:
    """The analysis that the first run will register; None where the sweep states none."""
    sweep = study.sweep
    return {**sweep.analysis.registered(), "reference": sweep.reference} if sweep.registered else None


def write_plan(study: Study, out: Path, note: Note = silent, *, look: bool) -> None:
    """Write plan.parquet to `out`. look: ask registries for the digests of images, as a run does."""
    import pyarrow.parquet as pq

    from raysweep.plan.table import plan_table
    from raysweep.study.images import resolve_images

    out.parent.mkdir(parents=True, exist_ok=True)
    table = plan_table(study.plan, study.sweep, list(study.tasks.values()), resolve_images(study, note, look=look))
    pq.write_table(table, out, compression="zstd")


def _assumed(view: LedgerView | None, rate: float | None, infra_rate: float | None) -> Assumed:
    """Rates and variances of the pilot, else the stated ones; InputError where both are given, or a rate is none."""
    from raysweep.stats.pilot import pilot_rates
    from raysweep.stats.planning import STUDY_INFRA, stated

    if view is not None:
        if rate is not None or infra_rate is not None:
            raise bad_input("`--pilot` already sets the rates", "drop `--rate` and `--infra-rate`")
        rates = pilot_rates(view.table, view.planned, design_of(view))
        if rates is not None:
            return rates
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
