"""`raysweep try`: one trial here and now, with everything that is seen of it; no ledger, nothing kept."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say, tell
from raysweep.clock import SystemClock
from raysweep.config.fault import nearest
from raysweep.errors import ExitCode, bad_input
from raysweep.study import compose
from raysweep.study.load import load_study, refuse_missing_keys

if TYPE_CHECKING:
    from raysweep.config.factors import ChangedLevels
    from raysweep.schedule.messages import Launch
    from raysweep.study.load import Study
    from raysweep.trial.attempt import Attempted


def try_command(config: Path, task: str, band: str, model: str, factors: Sequence[str] = (), *, as_json: bool) -> int:
    """Run the first planned trial of (task, band, model, levels); 0 when it was scored, 1 when it was not.

    factors: levels as NAME=LEVEL; factors that are not named are at their reference.
    """
    study = load_study(config)
    launch = _find(study, config, _levels(study, config, factors), task=task, band=band, model=model)
    done = asyncio.run(_attempt(study, launch, live=not as_json))
    judged = asdict(done.verdict)
    if as_json:
        row = {k: v for k, v in done.row.items() if v is not None}
        emit({"verdict": judged, "row": row, "evidence": asdict(done.evidence)})
    else:
        say("evidence:")
        say(json.dumps(_known(asdict(done.evidence)), indent=1, default=str))
        say(f"verdict: {' / '.join(str(v) for v in judged.values() if v)}, reward {done.row.get('reward')}")
    return ExitCode.OK if done.verdict.outcome == "scored" else ExitCode.CLAIM_FAILS


def _known(value: Any) -> Any:
    """Without what is unknown or empty: a person reads this."""
    if isinstance(value, dict):
        return {k: _known(v) for k, v in value.items() if v not in (None, {}, ())}
    return value


def _levels(study: Study, config: Path, given: Sequence[str]) -> ChangedLevels:
    """The levels that are not references, by name of the factor; InputError for what the sweep does not have."""
    file, declared = str(config), study.sweep.factors.declared
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
    if "concurrency" in chosen:
        tell("one trial alone is one trial in flight, whatever its level of concurrency is")
    return tuple((name, chosen[name]) for name in sorted(chosen) if chosen[name] != declared[name].reference)


def _find(study: Study, config: Path, changed: ChangedLevels, **wanted: str) -> Launch:
    from raysweep.schedule.messages import Launch

    known = {
        "task": sorted(study.tasks),
        "band": [b.name for b in study.sweep.bands],
        "model": [m.name for m in study.sweep.models],
    }
    for key, value in wanted.items():
        if value not in known[key]:
            raise bad_input(
                f"the sweep has no {key} of this name",
                f"choose one of {', '.join(known[key])}",
                file=str(config),
                key=f"--{key}",
                value=value,
            )
    for block in study.plan.blocks:
        for trial in block.trials:
            arm = (block.task, trial.arm.band, trial.arm.model)
            if arm == (wanted["task"], wanted["band"], wanted["model"]) and trial.arm.factors == changed:
                return Launch(block, trial, attempt=1, block_run=1)
    # Every block holds every arm, so this one is in none: `one-at-a-time` has each level at the reference band only.
    raise bad_input(
        f"the design has no arm with {' and '.join(f'{n}={v}' for n, v in changed)} at band {wanted['band']}",
        f"give one level, at band {study.sweep.reference}, or set `factors.design` to full",
        file=str(config),
        key="--factor",
    )


async def _attempt(study: Study, launch: Launch, *, live: bool) -> Attempted:
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
        return await run_attempt(order, provider, clock, listen=_show if live else lambda _: None, gateway=gateway)
    finally:
        await gateway.close()
        await provider.gc(run_id)


def _show(step: dict[str, Any]) -> None:
    """One step of the transcript on standard error."""
    facts = {k: v for k, v in step.items() if k not in ("t", "step", "stdout", "stderr") and v is not None}
    tell(f"{step['t']:8.3f} s  {step['step']:8s} " + " ".join(f"{k}={v}" for k, v in facts.items()))
    for stream in ("stdout", "stderr"):
        for line in step.get(stream, "").splitlines():
            tell(f"            {stream}: {line}")
