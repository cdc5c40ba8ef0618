"""Putting the parts of a study together: its calendar, its sandboxes, its orders, its probes."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.config.buckets import MINUTE
from raysweep.config.sandbox import StudyFacts
from raysweep.study.images import Images, image_name

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.plan import Arm
    from raysweep.probe import ProbeOrder
    from raysweep.record.place import RunPath
    from raysweep.record.probes import Round
    from raysweep.record.schema import Row
    from raysweep.record.store import Store
    from raysweep.sandbox.factory import ProviderRecipe
    from raysweep.sandbox.protocol import Planned
    from raysweep.schedule.breaker import Breaker
    from raysweep.schedule.budget import Meter
    from raysweep.schedule.calendar import Calendar
    from raysweep.schedule.messages import Launch
    from raysweep.schedule.probing import ProbeBook
    from raysweep.study.load import Study
    from raysweep.trial.order import TrialOrder


def scratch_root() -> Path:
    """Where local sandboxes keep their files: $RAYSWEEP_SCRATCH, else a folder of the user's on a real disk."""
    given = os.environ.get("RAYSWEEP_SCRATCH")
    return Path(given) if given else Path("/var/tmp") / f"raysweep-{os.getuid()}"


def recipe(sweep: Sweep) -> ProviderRecipe:
    """How runners make their sandboxes."""
    from raysweep.sandbox.factory import ProviderRecipe

    return ProviderRecipe(sweep.sandbox.kind, scratch_root(), sweep.sandbox.provider_options(_study_facts(sweep)))


def planned_sandboxes(study: Study) -> Planned:
    """What the sweep is going to open: each different set of bounds, image and network once."""
    from raysweep.agent import trusted
    from raysweep.plan.design import arms_of
    from raysweep.sandbox.protocol import Planned, SandboxSpec

    sweep = study.sweep
    specs: dict[tuple[Any, ...], SandboxSpec] = {}
    nodes = {arm: sweep.factors.value("node_type", arm.factors, {}) for arm in arms_of(sweep)}
    first = {block.task: block for block in reversed(study.plan.blocks)}  # every block of a task has all its arms
    for block in (block for block in study.plan.blocks if first[block.task] is block):
        task = study.tasks[block.task]
        network = task.network and sweep.sandbox.option("network", "task") == "task"
        for trial in block.trials:
            labels = nodes[trial.arm]
            key = (trial.request, trial.limit, task.docker_image, network, *sorted(labels.items()))
            if key not in specs:
                specs[key] = SandboxSpec(
                    run_id="run-planned",
                    name=f"planned-{len(specs) + 1}",
                    request=trial.request,
                    limit=trial.limit,
                    network=network,
                    pids=sweep.sandbox.pids,
                    image=task.docker_image and image_name(sweep, task.docker_image),
                    labels={"task": task.name, "band": trial.arm.band},
                    node_selector=labels,
                )
    return Planned(
        specs=tuple(specs.values()),
        untrusted=tuple(m.name for m in sweep.models if not trusted(m.agent, m.options)),
        concurrency=sweep.runner.concurrency,
    )


def _study_facts(sweep: Sweep) -> StudyFacts:
    """What options of sandboxes may need to know of a sweep."""
    period = sweep.buckets.period if sweep.buckets else 1.0
    return StudyFacts(
        seed=sweep.seed,
        timezone=sweep.buckets.timezone if sweep.buckets else "UTC",
        phases={w.name: (w.start + w.end) / 2 / period for w in sweep.windows},
        image=lambda name: image_name(sweep, name),
    )


def calendar(sweep: Sweep, anchor: float) -> Calendar:
    """The occasions of a sweep that began at `anchor` (seconds since the epoch)."""
    from raysweep.schedule.calendar import DAY, AlwaysOpen, Cycles, Days, Window, on_the_minute

    if sweep.buckets is None:
        return AlwaysOpen(anchor)
    windows = [Window(w.name, w.start, w.end) for w in sweep.buckets.windows]
    start = sweep.buckets.start
    if sweep.buckets.period < DAY:
        begin = on_the_minute(anchor, windows) if start == MINUTE else anchor
        return Cycles(begin, sweep.buckets.period, windows)
    first = start if isinstance(start, dt.date) else None
    return Days(sweep.buckets.timezone, windows, sweep.buckets.weekdays, first, anchor)


def slots(sweep: Sweep) -> dict[Arm, int] | None:
    """Trials in flight while each arm runs, where concurrency is swept; else None."""
    from raysweep.config.factors import trials_at_once
    from raysweep.plan.design import arms_of

    found = {arm: trials_at_once(sweep.factors, arm.factors) for arm in arms_of(sweep)}
    return {arm: level for arm, level in found.items() if level is not None} or None


class Orders:
    """Makes the order for a launch; what is the same for every trial of an arm is looked up once.

    traces: the run's folder of traces, None for none (simulated sandboxes). images: those of the run; without them
    each sandbox starts from what its task names.
    """

    def __init__(
        self,
        study: Study,
        run_id: str,
        calendar: Calendar,
        traces: RunPath | None,
        images: Images | None = None,
    ) -> None:
        from raysweep.plan.design import arms_of
        from raysweep.trial.order import BandMultipliers, Conditions

        self._images = images or Images()
        self._names = {task: self._images.of(task) for task in study.tasks}
        self._study, self._run_id, self._calendar, self._traces = study, run_id, calendar, traces
        self._models = {m.name: m for m in study.sweep.models}
        factors = study.sweep.factors
        self._conditions = {arm: Conditions.of(factors, arm.factors) for arm in arms_of(study.sweep)}
        self._bands = {b.name: BandMultipliers(b.request.model_dump(), b.limit.model_dump()) for b in study.sweep.bands}

    def __call__(self, launch: Launch, now: float) -> TrialOrder:
        """The order for one launch at `now`."""
        from raysweep.ids import attempt_id
        from raysweep.trial.order import TrialOrder

        trial, block = launch.trial, launch.block
        model, task, sandbox = self._models[trial.arm.model], self._study.tasks[block.task], self._study.sweep.sandbox
        traces = self._traces / attempt_id(trial.trial_id, launch.attempt) if self._traces is not None else None
        return TrialOrder(
            run_id=self._run_id,
            plan_id=self._study.plan.plan_id,
            trial=trial,
            task=task,
            repeat=block.repeat,
            bucket=block.bucket,
            occasion=self._calendar.occasion(block.bucket, block.date).label,
            band=self._bands[trial.arm.band],
            agent=model.agent,
            agent_options=model.options,
            attempt=launch.attempt,
            block_run=launch.block_run,
            now=now,
            pids=sandbox.pids,
            network=task.network and sandbox.option("network", "task") == "task",
            traces=traces,
            conditions=self._conditions[trial.arm],
            api_name=model.api,
            api=self._study.sweep.apis[model.api] if model.api is not None else None,
            most_usd=self._study.sweep.budget.trial_usd if model.api is not None else None,
            image=self._names[task.name],
            image_seen=self._images.seen_of(task.name),
        )


def budget_meter(study: Study, store: Store) -> Meter:
    """What the driver asks after every attempt whether the budget is spent; attempts of the ledger are counted."""
    from raysweep.record.reader import read_attempts
    from raysweep.schedule.budget import COUNTED, Meter

    budget = study.sweep.budget
    meter = Meter(budget.usd, budget.agent_hours, budget.usd_per_cpu_hour, budget.usd_per_gib_hour)
    if budget.trial_usd is not None and any(m.api for m in study.sweep.models):
        meter.in_flight_usd = study.sweep.runner.concurrency * budget.trial_usd
    spent = read_attempts(store, ("attempt_id", *COUNTED)).to_batches(max_chunksize=20_000) if meter.bounded else ()
    for row in (row for batch in spent for row in batch.to_pylist()):
        meter.add({k: v.timestamp() if k.startswith("t_") and v is not None else v for k, v in row.items()})
    return meter


def breaker(sweep: Sweep) -> Breaker | None:
    """What pauses the sweep when the platform fails too often, closed; None where the sweep has none."""
    from raysweep.schedule.breaker import Breaker

    found = sweep.breaker
    return None if found is None else Breaker(found.rate, found.attempts(sweep.runner.concurrency))


class ProbeRounds:
    """Makes and keeps the rounds of probes of a run."""

    def __init__(self, study: Study, store: Store, run_id: str, images: Images) -> None:
        self._study, self._store, self._run_id, self._images = study, store, run_id, images

    def make(self, due: Round, now: float) -> list[ProbeOrder]:
        """The probes of one round. Their image is one that a task needs anyway, where there is one."""
        from raysweep.probe import plan_probes
        from raysweep.record.probes import count_rounds

        sweep, sandbox = self._study.sweep, self._study.sweep.sandbox
        needed = (t.docker_image for t in self._study.tasks.values() if t.docker_image)
        return plan_probes(
            sweep.bands,
            run_id=self._run_id,
            bucket=due.bucket,
            occasion=due.occasion,
            moment=due.moment,
            number=count_rounds(self._store) + 1,
            cpu_s=sweep.probes.cpu_s,
            now=now,
            image=self._images.named(image_name(sweep, next(needed, sandbox.option("image", "")))),
            pids=sandbox.pids,
            uniform=sandbox.option("qos", "uniform") == "uniform",
        )

    def keep(self, done: Round, rows: Sequence[Row]) -> None:
        """Write the rows of one round."""
        from raysweep.record.probes import write_round

        if rows:
            write_round(self._store, done, rows)


def probe_book(sweep: Sweep, store: Store) -> ProbeBook | None:
    """The rounds of probes that the sweep has and had; None where there is nothing to probe."""
    from raysweep.probe import round_seconds
    from raysweep.record.probes import read_probes, rounds_done
    from raysweep.schedule.probing import ProbeBook

    bounded = any((b.limit.memory, b.limit.cpu) != (None, None) for b in sweep.bands)
    if not (sweep.probes.enabled and bounded) or recipe(sweep)("driver").probe_commands() is None:
        return None
    return ProbeBook(
        round_seconds(len(sweep.bands), sweep.runner.concurrency, sweep.probes.cpu_s), rounds_done(read_probes(store))
    )
