"""The run directory of a study: what a new one says of its sweep, and which registration refuses an old one."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from raysweep.clock import Clock, SystemClock, VirtualClock
from raysweep.config.analysis import Analysis
from raysweep.config.buckets import DAY
from raysweep.errors import bad_input
from raysweep.kind import find_kind
from raysweep.study.environment import environment
from raysweep.study.notes import Note, silent

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.record.place import RunPath
    from raysweep.record.run_facts import RunFacts, SweepFacts
    from raysweep.record.store import Store
    from raysweep.study.load import Study


def run_directory(study: Study, path: RunPath, note: Note = silent) -> tuple[Store, RunFacts]:
    """Store and facts (run.json) of the study's run directory, made where there is none.

    Args:
        study: what the directory is of.
        path: where it is.
        note: hears of images that have no digest.

    Raises:
        InputError: another sweep, plan or registration is there, or its tasks were edited since.
        UnsuitableError: an image must have a digest and has none.

    """
    from raysweep.plan.table import plan_bytes
    from raysweep.record.place import store_at
    from raysweep.record.rundir import create_or_resume
    from raysweep.study.frozen import keep_tasks, refuse_edited
    from raysweep.study.images import resolve_images

    sweep = study.sweep
    planned = b""  # a directory that is there has its plan, and is known by the plan's id
    if not store_at(path).exists("run.json"):
        planned = plan_bytes(study.plan, sweep, list(study.tasks.values()), resolve_images(study, note))
    elif store_at(path).get("sweep.yaml").decode() == sweep.study_text:
        refuse_edited(study.tasks, path)
    analysis = {**sweep.analysis.registered(), "reference": sweep.reference, "registered": sweep.registered}
    store, facts = create_or_resume(
        path,
        sweep_text=sweep.study_text,
        plan_id=study.plan.plan_id,
        plan_parquet=planned,
        analysis=analysis,
        environment=environment(),
        facts=sweep_facts(sweep),
        clock=first_clock(sweep),
        keep=lambda store: keep_tasks(sweep, study.tasks, store),
    )
    _refuse_other_registration(path, json.loads(store.get("registration.json")), analysis)
    return store, facts


def in_virtual_time(sweep: Sweep) -> bool:
    """Whether the whole sweep runs on the virtual clock."""
    return not find_kind(sweep.sandbox.kind).real and sweep.runner.executor == "inprocess"


def first_clock(sweep: Sweep) -> Clock:
    """The clock of a run's beginning: in virtual time a first date that is stated begins it, whatever today is."""
    start = sweep.buckets.start if sweep.buckets else None
    if not in_virtual_time(sweep) or sweep.buckets is None or not isinstance(start, dt.date):
        return SystemClock()
    first = dt.datetime.combine(start, dt.time(), ZoneInfo(sweep.buckets.timezone))
    return VirtualClock(first.timestamp())


def traces_of(path: RunPath) -> RunPath:
    """The run's folder of traces, as runners elsewhere find it."""
    return (path.resolve() if isinstance(path, Path) else path) / "traces"


def sweep_facts(sweep: Sweep) -> SweepFacts:
    """What run.json says of the sweep; nothing of factors where none is swept."""
    from raysweep.record.run_facts import SweepFacts

    factors = {name: factor.model_dump(mode="json") for name, factor in sweep.factors.declared.items()}
    stated: dict[str, Any] = {"factors": factors} if factors else {}
    return SweepFacts(
        name=sweep.name,
        seed=sweep.seed,
        reference=sweep.reference,
        bands=tuple(b.name for b in sweep.bands),
        models=tuple(m.name for m in sweep.models),
        buckets=tuple(sweep.bucket_names),
        dates=sweep.dates,
        repeats=sweep.repeats,
        timezone=sweep.buckets.timezone if sweep.buckets else "UTC",
        period_hours=sweep.buckets.period / 3600 if sweep.buckets else 24.0,
        bucket_hours=tuple(_bucket_hours(sweep)),
        concurrency=sweep.runner.concurrency,
        pids=sweep.sandbox.pids,
        network=sweep.sandbox.option("network", "task"),
        sandbox=sweep.sandbox.kind,
        **stated,
    )


def _bucket_hours(sweep: Sweep) -> list[float]:
    """Hour of the day at the middle of each window; empty where a date is no day."""
    if sweep.buckets is None or sweep.buckets.period < DAY:
        return []
    return [(w.start + w.end) / 2 % DAY / 3600 for w in sweep.windows]


def _refuse_other_registration(path: RunPath, stands: dict[str, Any], analysis: dict[str, Any]) -> None:
    """InputError when the registration of the directory is not that of the sweep, or was edited after it was made.

    A key that an earlier version did not register counts as its default, which is how that version analysed.
    """
    from raysweep.record.rundir import registration

    place = {"file": str(path / "registration.json"), "key": "analysis"}
    remedy = "put registration.json back as it was made, or start a new run directory"
    if registration(stands["analysis"], 0.0)["sha256"] != stands["sha256"]:
        raise bad_input("the registration was changed after it was made: its hash does not hold", remedy, **place)
    defaults = json.loads(Analysis().model_dump_json())
    given, before = {**defaults, **json.loads(json.dumps(analysis))}, {**defaults, **stands["analysis"]}
    changed = [
        f"{k}: {before.get(k)} -> {given.get(k)}" for k in sorted({*before, *given}) if before.get(k) != given.get(k)
    ]
    if changed:
        raise bad_input(f"the sweep's analysis is not the registered one ({'; '.join(changed)})", remedy, **place)
