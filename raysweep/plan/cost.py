"""What a plan takes: trials, reserved cpu and memory, time, money, and how much of it a budget buys. Pure arithmetic.

Cpu and memory are counted as *requested* (what a scheduler reserves and a cloud bills), for as long as a trial lasts:
at most its three time limits, and as expected where a pilot tells the mean. Model calls are not in the money: their
price is not known before they are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.config.buckets import DAY
from raysweep.config.factors import NO_FACTORS, Factors, agent_multiplier, trials_at_once
from raysweep.config.model import Budget, Sweep
from raysweep.plan.model import Arm, Plan
from raysweep.tasks.model import Task
from raysweep.units import GIB

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Pilot:
    """Mean seconds of a whole trial and of its agent phase, seen in an earlier run."""

    trial_s: float
    agent_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over all planned trials; usd is machines alone, trial_hours is one trial after the other.

    by_level: of trial_hours, those of each swept level of concurrency (trials at once, hours); empty where it is not
    swept.
    """

    cpu_hours: float
    gib_hours: float
    agent_hours: float
    usd: float
    trial_hours: float
    by_level: tuple[tuple[int, float], ...] = ()

    def wall_s(self, concurrency: int) -> float:
        """Seconds at `concurrency` trials at once, or at each trial's own level; windows left aside."""
        levels = self.by_level or ((concurrency, self.trial_hours),)
        return HOUR * sum(hours / slots for slots, hours in levels)


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a budget buys at the stated cost of a block: whole blocks, and whole repeats of every task and bucket.

    bound: the key of the budget that binds. Never more than is planned.
    """

    bound: str
    amount: float
    blocks: int
    repeats: int
    everything: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `raysweep plan` tells.

    upper: every trial runs into all its time limits. expected: at the pilot's means, None without a pilot.
    calendar_s: from the first opening to the last planned closing, at most (None without buckets). window_s: the
    shortest window. occasion_*_s: seconds that one occasion's trials take at the stated concurrency.
    """

    trials: int
    blocks: int
    upper: Usage
    expected: Usage | None
    concurrency: int
    calendar_s: float | None
    window_s: float | None
    occasion_upper_s: float
    occasion_expected_s: float | None
    buys: Purchase | None

    @property
    def best(self) -> Usage:
        """The expected usage where it is known, else the upper bound."""
        return self.expected or self.upper

    @property
    def fits(self) -> bool | None:
        """Whether an occasion's trials fit its shortest window, as expected (else at most); None without buckets."""
        needs = self.occasion_upper_s if self.occasion_expected_s is None else self.occasion_expected_s
        return None if self.window_s is None else needs <= self.window_s


def estimate(plan: Plan, sweep: Sweep, tasks: Sequence[Task], pilot: Pilot | None = None) -> Estimate:
    """The cost of a plan: upper bound, expectation where a pilot is known, calendar, and what the budget buys."""
    by_name = {task.name: task for task in tasks}
    upper = usage(plan, by_name, sweep.budget, None, sweep.factors)
    expected = None if pilot is None else usage(plan, by_name, sweep.budget, pilot, sweep.factors)
    occasions = len(sweep.bucket_names) * sweep.dates
    slots = sweep.runner.concurrency
    return Estimate(
        trials=plan.trials,
        blocks=len(plan.blocks),
        upper=upper,
        expected=expected,
        concurrency=slots,
        calendar_s=calendar_length(sweep),
        window_s=min((w.length for w in sweep.windows), default=None),
        occasion_upper_s=upper.wall_s(slots) / occasions,
        occasion_expected_s=None if expected is None else expected.wall_s(slots) / occasions,
        buys=purchase(plan, sweep, expected or upper),
    )


def usage(
    plan: Plan, tasks: Mapping[str, Task], prices: Budget, pilot: Pilot | None, factors: Factors = NO_FACTORS
) -> Usage:
    """Sums over the plan's trials; without a pilot each lasts its build, agent (times its level) and verifier limits.

    A pilot's mean stands for every arm, whatever its levels.
    """
    cpu = memory = agent = total = 0.0
    levels: defaultdict[int, float] = defaultdict(float)
    stretch = {arm: agent_multiplier(factors, arm.factors) for arm in _arms(plan)}
    slots = {arm: trials_at_once(factors, arm.factors) for arm in stretch}
    for block in plan.blocks:
        task = tasks[block.task]
        around = task.build_timeout_s + task.verifier_timeout_s
        for trial in block.trials:
            agent_s = task.agent_timeout_s * stretch[trial.arm] if pilot is None else pilot.agent_s
            trial_s = around + agent_s if pilot is None else pilot.trial_s
            cpu += trial_s * (trial.request.cpu or 0) / 1000
            memory += trial_s * (trial.request.memory or 0) / GIB
            agent += agent_s
            total += trial_s
            levels[slots[trial.arm] or 0] += trial_s
    money = (cpu * prices.usd_per_cpu_hour + memory * prices.usd_per_gib_hour) / HOUR
    swept = tuple((level, seconds / HOUR) for level, seconds in sorted(levels.items()) if level)
    return Usage(cpu / HOUR, memory / HOUR, agent / HOUR, money, total / HOUR, swept)


def _arms(plan: Plan) -> set[Arm]:
    """The arms of the plan: every block holds all of them."""
    return {trial.arm for block in plan.blocks[:1] for trial in block.trials}


def purchase(plan: Plan, sweep: Sweep, cost: Usage) -> Purchase | None:
    """What the budget buys at this cost; the tighter of its bounds. None without a bound."""
    bounds = [
        (amount / spent, key, amount)
        for key, amount, spent in (
            ("usd", sweep.budget.usd, cost.usd),
            ("agent_hours", sweep.budget.agent_hours, cost.agent_hours),
        )
        if amount is not None and spent > 0
    ]
    if not bounds:
        return None
    share, key, amount = min(bounds)
    blocks = min(len(plan.blocks), int(share * len(plan.blocks) + 1e-9))
    per_repeat = len(plan.blocks) // sweep.repeats
    return Purchase(key, amount, blocks, blocks // per_repeat, everything=blocks == len(plan.blocks))


def calendar_length(sweep: Sweep) -> float | None:
    """Seconds from the opening of the first window to the planned closing of the last, at most; None without buckets.

    Dates that a list of weekdays leaves out are counted, from the weekday that makes the stretch longest. Nothing is
    counted for missed windows, which may be made up on `makeup_dates` further dates.
    """
    buckets = sweep.buckets
    if buckets is None:
        return None
    days = buckets.dates
    if buckets.period >= DAY:
        days = max(_span(buckets.dates, buckets.weekdays, first) for first in buckets.weekdays)
    return (days - 1) * buckets.period + max(w.end for w in buckets.windows) - buckets.windows[0].start


def _span(dates: int, weekdays: frozenset[int], first: int) -> int:
    """Calendar days from the first of `dates` permitted days, a `first` weekday, to the last, both counted."""
    offsets = sorted((day - first) % 7 for day in weekdays)
    weeks, rest = divmod(dates - 1, len(offsets))
    return weeks * 7 + offsets[rest] + 1
