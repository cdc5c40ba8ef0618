"""The design: seeded randomised complete blocks over buckets and dates.

Each task gets `repeats` blocks per bucket, the same number on each date; a block holds every arm. Within an occasion
the tasks come in passes (one block of every task, then the next of every task), so an occasion that is cut short has
lost the same from every task, give or take one block.

Identifiers are made of names only (sweep, seed, task, arm, repeat, bucket, number of the date): they do not depend on
real dates, on the order of keys or entries in the YAML file, or on which other tasks, models, bands or factors are in
the sweep: an arm names the levels that differ from the reference, so one at all references has the id that it has
without factors. `plan_id` is the digest of everything that is planned, bounds and task contents included.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raysweep import seeds
from raysweep.config.bands import RESOURCES, Band
from raysweep.config.model import Sweep
from raysweep.errors import InputError, Problem
from raysweep.ids import id_of, json_parts
from raysweep.plan.asked import asked
from raysweep.plan.model import Arm, Block, Plan, PlannedTrial
from raysweep.plan.order import arm_order, rotation, shuffled_tasks
from raysweep.tasks.model import Task
from raysweep.units import Resources

Asked = Mapping[tuple[str, str], tuple[Resources, Resources]]
"""(task, band) to (request, limit)."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector: a plan is a million values without reference cycles, which it would scan often."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def arms_of(sweep: Sweep) -> tuple[Arm, ...]:
    """Every model under every band, and under what `factors` adds: levels that are not the reference."""
    models, bands = [m.name for m in sweep.models], [b.name for b in sweep.bands]
    further = [
        (levels, band)
        for levels, everywhere in sweep.factors.combinations()
        for band in (bands if everywhere else [sweep.reference])
    ]
    return tuple(Arm(model, band, levels) for model in models for levels, band in [*(((), b) for b in bands), *further])


def make_plan(sweep: Sweep, tasks: Sequence[Task]) -> Plan:
    """The plan of a sweep; InputError when there are no tasks, two of one name, or two ids that collide."""
    by_name = {task.name: task for task in tasks}
    _check_tasks(sweep, tasks, by_name)
    uniform = sweep.sandbox.option("qos", "uniform") == "uniform"
    bounds: Asked = {(t.name, b.name): asked(t.spec, b, uniform=uniform) for t in tasks for b in sweep.bands}
    with uncollected():
        blocks = tuple(_blocks(sweep, shuffled_tasks(sweep.seed, list(by_name)), bounds))
    _check_ids(blocks)
    return Plan(plan_id(sweep, by_name, blocks), blocks)


def _check_tasks(sweep: Sweep, tasks: Sequence[Task], by_name: Mapping[str, Task]) -> None:
    file = str(sweep.source_path) if sweep.source_path else None
    if not tasks:
        remedy = "widen `tasks.include`, or narrow `tasks.exclude`"
        raise InputError([Problem("no task is left to plan", remedy, file, key="tasks", value=sweep.tasks.source)])
    if len(by_name) < len(tasks):
        names = [t.name for t in tasks]
        twice = sorted({n for n in names if names.count(n) > 1})
        problems = [
            Problem("two tasks have this name", "rename or exclude one", file, key="tasks", value=n) for n in twice
        ]
        raise InputError(problems)


@dataclass(frozen=True, slots=True)
class _PlannedArm:
    """An arm, with the parts of its trials' names that are the same in every block (a plan has a million trials).

    id_part, seed_part: what follows the block's place in the texts that trial ids and seeds are digests of.
    """

    arm: Arm
    key: str
    id_part: str
    seed_part: str

    @classmethod
    def of(cls, arm: Arm) -> _PlannedArm:
        levels = [part for level in arm.factors for part in level]
        return cls(arm, arm.key, json_parts([arm.model, arm.band, *levels]), seeds.text(*levels) if levels else "")


def _blocks(sweep: Sweep, order: Sequence[str], bounds: Asked) -> Iterator[Block]:
    """Blocks in the order (date, bucket, place within the occasion)."""
    arms, per_date = [_PlannedArm.of(arm) for arm in arms_of(sweep)], sweep.repeats // sweep.dates
    for date in range(1, sweep.dates + 1):
        for index, bucket in enumerate(sweep.bucket_names):
            for within in range(per_date):
                turn = (date - 1) * per_date + within
                shift = rotation(len(order), turn, index)
                for place, task in enumerate([*order[shift:], *order[:shift]]):
                    yield _block(sweep, arms, bounds, task, turn + 1, bucket, date, within * len(order) + place)


def _block(
    sweep: Sweep, arms: Sequence[_PlannedArm], bounds: Asked, task: str, repeat: int, bucket: str, date: int, order: int
) -> Block:
    place = json_parts([sweep.name, sweep.seed, task, repeat, bucket, date])
    block_id = id_of("b", place)
    trials = tuple(
        PlannedTrial(
            trial_id=id_of("t", f"{place},{planned.id_part}"),
            block_id=block_id,
            arm=planned.arm,
            position=position,
            seed=seeds.number(
                sweep.seed, "trial", task, planned.arm.model, planned.arm.band, repeat, bucket,
                *((planned.seed_part,) if planned.seed_part else ()),
            ),
            request=bounds[task, planned.arm.band][0],
            limit=bounds[task, planned.arm.band][1],
        )
        for position, planned in enumerate(_shuffled(sweep.seed, block_id, arms))
    )  # fmt: skip
    return Block(block_id, task, repeat, bucket, date, order, trials)


def _shuffled(seed: int, block_id: str, arms: Sequence[_PlannedArm]) -> list[_PlannedArm]:
    """The arms of one block in the order of `plan.order`."""
    return sorted(arms, key=lambda planned: arm_order(seed, block_id, planned.key))


def _check_ids(blocks: Sequence[Block]) -> None:
    """Twelve hex digits collide about once in 500 plans of a million trials; then another seed gives others."""
    ids = [block.block_id for block in blocks] + [t.trial_id for block in blocks for t in block.trials]
    if len(set(ids)) < len(ids):
        raise InputError([Problem("two trials of the plan have the same identifier", "change the seed", key="seed")])


def _amounts(bound: Resources) -> str:
    return f" {bound.cpu} {bound.memory} {bound.storage}"


def _multipliers(band: Band) -> list[str]:
    return [str(getattr(side, resource)) for side in (band.request, band.limit) for resource in RESOURCES]


def plan_id(sweep: Sweep, tasks: Mapping[str, Task], blocks: Sequence[Block]) -> str:
    """Digest of every block and trial with its bounds and seed, of the tasks' contents, and of agents and bands."""
    hasher = hashlib.sha256()
    head: dict[str, Any] = {
        "name": sweep.name,
        "seed": sweep.seed,
        "tasks": {name: tasks[name].digest for name in sorted(tasks)},
        "models": sorted((m.name, m.agent, json.dumps(m.options, sort_keys=True, default=str)) for m in sweep.models),
        "bands": sorted((b.name, *_multipliers(b)) for b in sweep.bands),
    }
    if sweep.factors.declared:  # a sweep without factors keeps the id that it had before there were any
        head["factors"] = {n: [f.reference, f.model_dump()["levels"]] for n, f in sweep.factors.declared.items()}
    hasher.update(json.dumps(head, sort_keys=True).encode())
    amounts: dict[tuple[int, int], str] = {}  # by identity: the trials of a task and band share their bounds
    for b in blocks:
        text = f"\n{b.block_id} {b.date} {b.bucket} {b.order}"
        for t in b.trials:
            bounds = (id(t.request), id(t.limit))
            if bounds not in amounts:
                amounts[bounds] = _amounts(t.request) + _amounts(t.limit)
            text += f" {t.trial_id} {t.seed}{amounts[bounds]}"
        hasher.update(text.encode())
    return f"p{hasher.hexdigest()[:12]}"
