"""One trial of a sweep here and now, with everything that is seen of it; no ledger, nothing kept."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.clock import SystemClock
from raysweep.config.fault import nearest
from raysweep.errors import bad_input
from raysweep.study import compose
from raysweep.study.load import refuse_missing_keys

if TYPE_CHECKING:
    from raysweep.config.factors import ChangedLevels
    from raysweep.schedule.messages import Launch
    from raysweep.study.load import Study
    from raysweep.trial.attempt import Attempted


def _ignore(_: object) -> None:
    """Listen to nothing."""


def changed_levels(study: Study, given: Sequence[str]) -> ChangedLevels:
    """The levels that are not references, by name of the factor.

    Args:
        study: whose factors they are.
        given: levels as NAME=LEVEL; factors that are not named are at their reference.

    Raises:
        InputError: the sweep does not have the factor or the level.

    """
    file, declared = _file(study), study.sweep.factors.declared
    chosen: dict[str, str] = {}
    for text in given:
        name, _, level = text.partition("=")
        if name not in declared:
            remedy = nearest(name, declared) if declared else "leave it out"
            raise bad_input("the sweep has no factor of this name", remedy, file=file, key="--factor", value=text)
        if level not in declared[name].values:
            remedy = f"write {name}=LEVEL with one of {', '.join(declared[name].values)}"
            raise bad_input("the factor has no level of this name", remedy, file=file, key="--factor", value=text)
        if chosen.setdefault(name, level) != level:
            remedy = f"give one level of {name}"
            raise bad_input("a trial has one level of each factor", remedy, file=file, key="--factor", value=text)
    return tuple((name, chosen[name]) for name in sorted(chosen) if chosen[name] != declared[name].reference)


def find_trial(study: Study, task: str, band: str, model: str, changed: ChangedLevels = ()) -> Launch:
    """The first attempt of the first planned trial of this arm; InputError where the plan has none."""
    from raysweep.schedule.messages import Launch

    known = {
        "task": sorted(study.tasks),
        "band": [b.name for b in study.sweep.bands],
        "model": [m.name for m in study.sweep.models],
    }
    for key, value in (("task", task), ("band", band), ("model", model)):
        if value not in known[key]:
            raise bad_input(
                f"the sweep has no {key} of this name",
                f"choose one of {', '.join(known[key])}",
                file=_file(study),
                key=f"--{key}",
                value=value,
            )
    for block in study.plan.blocks:
        for trial in block.trials:
            arm = (block.task, trial.arm.band, trial.arm.model, trial.arm.factors)
            if arm == (task, band, model, changed):
                return Launch(block, trial, attempt=1, block_run=1)
    # Every block holds every arm, so this one is in none: `one-at-a-time` has each level at the reference band only.
    raise bad_input(
        f"the design has no arm with {' and '.join(f'{n}={v}' for n, v in changed)} at band {band}",
        f"give one level, at band {study.sweep.reference}, or set `factors.design` to full",
        file=_file(study),
        key="--factor",
    )


def try_trial(study: Study, launch: Launch, listen: Callable[[dict[str, Any]], None] = _ignore) -> Attempted:
    """Run one attempt here and now; nothing of it is kept. listen: gets each step of the transcript as it happens."""
    return asyncio.run(_attempt(study, launch, listen))


async def _attempt(study: Study, launch: Launch, listen: Callable[[dict[str, Any]], None]) -> Attempted:
    from raysweep.gateway import Gateway
    from raysweep.trial.attempt import run_attempt

    clock = SystemClock()
    provider = compose.recipe(study.sweep)("try")
    run_id = f"try-{uuid.uuid4().hex[:12]}"
    calendar = compose.calendar(study.sweep, clock.now())
    order = compose.Orders(study, run_id, calendar, None)(launch, clock.now())
    refuse_missing_keys(study)
    gateway = Gateway()
    await provider.prepare(run_id)
    try:
        return await run_attempt(order, provider, clock, listen=listen, gateway=gateway)
    finally:
        await gateway.close()
        await provider.gc(run_id)


def _file(study: Study) -> str:
    return str(study.sweep.source_path or study.sweep.name)
