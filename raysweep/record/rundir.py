"""Making a run directory, or finding that it already holds this very sweep.

run.json is written last and makes the directory a run directory: whatever was interrupted before it is made again.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raysweep.clock import Clock
from raysweep.errors import InputError, Problem, bad_input
from raysweep.record.place import RunPath, store_at
from raysweep.record.probes import read_probes
from raysweep.record.run_facts import RunFacts, RunIdentity, SweepFacts, read_facts
from raysweep.record.schema import SCHEMA_VERSION
from raysweep.record.segments import refuse_newer_ledger
from raysweep.record.store import Store
from raysweep.record.versions import MIN_READER


def registration(analysis: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The registered analysis with its hash (sha256 of its canonical JSON) and the time of registration."""
    canonical = json.dumps(analysis, sort_keys=True, separators=(",", ":"))
    return {
        "analysis": dict(analysis),
        "sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "registered_at": now,
    }


def create_or_resume(
    path: RunPath,
    *,
    sweep_text: str,
    plan_id: str,
    plan_parquet: bytes,
    analysis: Mapping[str, Any],
    environment: Mapping[str, Any],
    facts: SweepFacts,
    clock: Clock,
    keep: Callable[[Store], None] = lambda _: None,
) -> tuple[Store, RunFacts]:
    """The store and the facts (run.json) of the run directory at `path`, made when it is not there yet.

    facts: what run.json should say of the sweep; an existing run.json is returned as it is. keep: puts what else
    belongs into the store of a new run; what it raises ends the making. InputError when the directory holds another
    sweep (with the difference), another plan of the same sweep (the tasks changed), or other files.
    """
    store = store_at(path)
    if store.exists("run.json"):
        return store, _resumed(store, sweep_text, plan_id)
    if isinstance(path, Path):
        _refuse_foreign_files(path)
        for rest in ("ledger", "merged", "probes"):
            shutil.rmtree(path / rest, ignore_errors=True)
    else:
        _refuse_foreign_objects(store)
    now = clock.now()
    identity = RunIdentity(
        run_id=f"run-{uuid.uuid4().hex[:12]}",
        plan_id=plan_id,
        created=now,
        schema_version=SCHEMA_VERSION,
        min_reader=MIN_READER,
    )
    made = RunFacts.begin(identity, facts)
    contents = {
        "sweep.yaml": sweep_text.encode(),
        "plan.parquet": plan_parquet,
        "environment.json": json.dumps(environment, indent=1, sort_keys=True).encode(),
        "registration.json": json.dumps(registration(analysis, now), indent=1).encode(),
    }
    for name, data in contents.items():
        store.replace(name, data)
    keep(store)
    try:
        store.put_new("run.json", made.to_json())
    except FileExistsError:  # another driver made the same run directory at the same time
        return store, _resumed(store, sweep_text, plan_id)
    return store, made


def _resumed(store: Store, sweep_text: str, plan_id: str) -> RunFacts:
    """run.json of a run directory that is there; InputError when it is another sweep's, or needs a newer raysweep."""
    facts = read_facts(store)
    refuse_newer_ledger(store)
    read_probes(store)
    _refuse_other_sweep(store, sweep_text)
    if facts.plan_id != plan_id:
        raise bad_input(
            "the same sweep.yaml now gives another plan: tasks, defaults or raysweep changed since",
            "put the tasks back as they were, or start a new run directory",
            file=store.where,
            key="plan_id",
            value=f"{plan_id}, the directory has {facts.plan_id}",
        )
    return facts


def _refuse_other_sweep(store: Store, sweep_text: str) -> None:
    before = store.get("sweep.yaml").decode()
    if before == sweep_text:
        return
    difference = list(
        difflib.unified_diff(
            before.splitlines(), sweep_text.splitlines(), "in the run directory", "given", "", "", 0, ""
        )
    )
    raise InputError(
        [
            Problem(
                message="this run directory belongs to another version of the sweep:\n" + "\n".join(difference),
                remedy="use the original sweep.yaml to resume, or choose a new --run-dir",
                file=store.where,
            )
        ]
    )


_OURS = {
    "sweep.yaml", "plan.parquet", "environment.json", "registration.json", "ledger", "lock", "traces", "report",
    "probes", "merged", "kept-tasks",
}  # fmt: skip


def _refuse_foreign_files(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise bad_input("not a directory", "choose another --run-dir", file=str(path))
    foreign = sorted(p.name for p in path.iterdir() if p.name not in _OURS and not p.name.endswith(".tmp"))
    if foreign:
        raise bad_input(
            f"holds files that are not raysweep's ({', '.join(foreign[:5])})",
            "choose an empty or new directory as --run-dir",
            file=str(path),
        )


def _refuse_foreign_objects(store: Store) -> None:
    """A prefix of a bucket is never cleared: two drivers may be making it now."""
    foreign = [name for name in store.names("") if name not in _OURS]
    foreign += [f"{folder}/{name}" for folder in ("ledger", "merged", "probes") for name in store.names(folder)]
    if foreign:
        raise bad_input(
            f"holds objects and no run.json ({', '.join(foreign[:5])})",
            "choose another prefix as --run-dir, or remove them",
            file=store.where,
        )
