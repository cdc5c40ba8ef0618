"""A plan in words: the lines that `raysweep plan` prints. Plain text, no colours, no scipy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raysweep.config.bands import RESOURCES, Band, Multipliers
from raysweep.config.model import Sweep
from raysweep.plan.cost import Estimate, Purchase, Usage
from raysweep.plan.design import arms_of
from raysweep.plan.model import Plan
from raysweep.units import format_bytes, format_duration


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest contrast that the plan can detect, from stats; None: none, and `basis` says why.

    basis: at which power, level and assumptions. further: lines on what else the plan can show and what it would take.
    """

    points: float | None
    basis: str
    further: tuple[str, ...] = ()


def describe(plan: Plan, sweep: Sweep, cost: Estimate, smallest: Detectable | None = None) -> list[str]:
    """The design, what it takes, what the budget buys and what it can show, one line each."""
    return [*_design(plan, sweep), *_cost(cost), *_calendar(sweep, cost), *_budget(sweep, cost), *_power(smallest)]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _design(plan: Plan, sweep: Sweep) -> Iterator[str]:
    tasks = len({b.task for b in plan.blocks})
    arms = len(arms_of(sweep))
    yield f"{sweep.name}: {_count(plan.trials, 'trial')} in {_count(len(plan.blocks), 'block')} (plan {plan.plan_id})"
    yield (
        f"  {_count(tasks, 'task')} x {_count(arms, 'arm')} x {_count(sweep.repeats, 'repeat')} x "
        f"{_count(len(sweep.bucket_names), 'bucket')}; {_count(sweep.repeats // sweep.dates, 'repeat')} on each of "
        f"{_count(sweep.dates, 'date' if _daily(sweep) else 'cycle')}"
    )
    yield f"  models: {', '.join(f'{m.name} ({m.agent})' for m in sweep.models)}"
    for band in sweep.bands:
        yield f"  band {_band(band)}{'  <- reference' if band.name == sweep.reference else ''}"
    yield from _factors(sweep)


def _factors(sweep: Sweep) -> Iterator[str]:
    """The swept factors with their levels, and what the design makes of them."""
    declared = sweep.factors.declared
    for name, factor in declared.items():
        levels = ", ".join(f"{level} = {_level(name, value)}" for level, value in factor.values.items())
        yield f"  factor {name}: {levels}; reference {factor.reference}"
    if declared and sweep.factors.design == "full":
        yield "  every combination of levels under every band"
    elif declared:
        yield f"  one factor at a time, at band {sweep.reference}, the others at their reference"


def _level(name: str, value: Any) -> str:
    if name == "agent_timeout":
        return f"{value:g}x the agent's time limit"
    if name == "concurrency":
        return f"{value} at once"
    if name == "egress":
        return "no bound" if value is None else f"{format_bytes(value)}/s"
    return " ".join(f"{key}={label}" for key, label in value.items())


def _daily(sweep: Sweep) -> bool:
    return sweep.buckets is None or sweep.buckets.period >= 86400


def _band(band: Band) -> str:
    return f"{band.name}: request {_multipliers(band.request)}; limit {_multipliers(band.limit)}"


def _multipliers(multipliers: Multipliers) -> str:
    texts = {r: "none" if (m := getattr(multipliers, r)) is None else f"{m:g}x" for r in RESOURCES}
    return ", ".join(f"{resource} {text}" for resource, text in texts.items())


def _cost(cost: Estimate) -> Iterator[str]:
    yield f"at most (every trial runs into all its time limits): {_usage(cost.upper, cost.concurrency)}"
    if cost.expected is not None:
        yield f"expected (at the pilot's mean): {_usage(cost.expected, cost.concurrency)}"
    else:
        yield "expected: not known yet; a pilot (`raysweep run --blocks N`) tells the mean of a trial"


def _usage(usage: Usage, slots: int) -> str:
    return (
        f"{usage.cpu_hours:,.3g} requested cpu-hours, {usage.gib_hours:,.3g} requested GiB-hours, "
        f"{usage.agent_hours:,.3g} agent-hours, {usage.usd:,.2f} USD of machines without model calls, "
        f"{format_duration(usage.wall_s(slots))} at {_at_once(usage, slots)} at once"
    )


def _at_once(usage: Usage, slots: int) -> str:
    return " and ".join(str(level) for level, _ in usage.by_level) or str(slots)


def _calendar(sweep: Sweep, cost: Estimate) -> Iterator[str]:
    if cost.calendar_s is None or cost.window_s is None or sweep.buckets is None:
        return
    names = ", ".join(w.name for w in sweep.windows)
    yield (
        f"calendar: windows {names} in {sweep.buckets.timezone}, {format_duration(cost.calendar_s)} from the first "
        f"opening to the last closing; up to {sweep.buckets.makeup_dates} more to make up missed blocks"
    )
    known = cost.occasion_expected_s is not None
    needs = cost.occasion_expected_s if cost.occasion_expected_s is not None else cost.occasion_upper_s
    how = "expected" if known else "at most"
    window = format_duration(cost.window_s)
    yield f"  one occasion takes {format_duration(needs)} ({how}); the shortest window is {window}"
    if known and not cost.fits:
        yield "  it does not fit: widen the windows, raise `runner.concurrency`, or spread `repeats` over more `dates`"


def _budget(sweep: Sweep, cost: Estimate) -> Iterator[str]:
    if cost.buys is not None:
        yield f"budget: {_buys(cost.buys, sweep)}, {'as expected' if cost.expected else 'at worst'}"


def _buys(bought: Purchase, sweep: Sweep) -> str:
    amount = f"{bought.bound} {bought.amount:g}"
    if bought.everything:
        return f"{amount} buys the whole plan"
    return (
        f"{amount} buys {_count(bought.blocks, 'block')}, that is {bought.repeats} of {sweep.repeats} complete repeats"
    )


def _power(smallest: Detectable | None) -> Iterator[str]:
    if smallest is None:
        return
    points = "none" if smallest.points is None else f"{smallest.points:.1f} points"
    yield f"smallest contrast it can detect: {points} ({smallest.basis})"
    yield from (f"  {line}" for line in smallest.further)
