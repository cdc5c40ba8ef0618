"""From run directories to what an analysis takes: the design, runs merged into one, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import IncompleteError, bad_input

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats import Design
    from raysweep.stats.merge import Merged


def refuse_assumed(assumed: Sequence[str]) -> None:
    """InputError where one run is given and something of it is to be taken as alike."""
    if assumed:
        raise bad_input("one run has one methodology", "leave it out", key="--assume-comparable")


def merged_runs(paths: Sequence[RunPath], assumed: Sequence[str]) -> Merged:
    """The runs at `paths` as one, under their names; IncompleteError when one of them holds no attempt."""
    from raysweep.record.reader import read_ledger
    from raysweep.stats.merge import Run, merge

    views = [read_ledger(path) for path in paths]
    for path, view in zip(paths, views, strict=True):
        if not len(view.table):
            raise IncompleteError(f"{path}: the ledger holds no attempt; run the sweep first")
    names = names_of(paths)
    return merge([Run(n, v, design_of(v)) for n, v in zip(names, views, strict=True)], assumed)


def names_of(paths: Sequence[RunPath]) -> list[str]:
    """What a reader calls each run: the last part of its path where that tells them apart, else the path."""
    short = [(p.resolve() if isinstance(p, Path) else p).name for p in paths]
    return short if len(set(short)) == len(short) else [str(p) for p in paths]


def design_of(view: LedgerView) -> Design:
    """What the analysis must know of the sweep, from the run directory alone."""
    from raysweep.stats import Design
    from raysweep.stats.design import Swept

    facts, registered = view.facts, view.registration["analysis"]
    return Design(
        reference=facts.reference,
        bands=facts.bands,
        models=facts.models,
        buckets=facts.buckets,
        seed=facts.seed,
        primary=registered["primary"],
        delta=registered["delta"],
        confidence=registered["confidence"],
        registered=registered["registered"],
        # Run directories of earlier versions say nothing of these.
        bucket_hours=facts.bucket_hours or (),
        period_hours=24.0 if facts.period_hours is None else facts.period_hours,
        contrasts=tuple(registered.get("contrasts", ())),
        looks=registered.get("looks", 0),
        level_contrasts=tuple((name, tuple(levels)) for name, levels in registered.get("factors", {}).items()),
        factors=tuple(
            Swept(name, factor["reference"], tuple(factor["levels"]), tuple(factor["levels"].values()))
            for name, factor in (facts.factors or {}).items()
        ),
        simulated=facts.sandbox == "simulated",
    )


def provenance(path: RunPath, view: LedgerView) -> dict[str, Any]:
    """Where the numbers come from, for the end of the report."""
    return {
        "run": str(path),
        "run_id": view.facts.run_id,
        "plan_id": view.facts.plan_id,
        "registration_sha256": view.registration["sha256"],
        "environment": view.environment,
        "sweep": view.sweep_text,
        "command": f"raysweep run {path / 'sweep.yaml'} --run-dir NEW && raysweep report NEW",
    }


def provenance_of_all(paths: Sequence[RunPath], merged: Merged, out: RunPath | None) -> dict[str, Any]:
    """Where the numbers of merged runs come from, run by run."""
    at = dict(zip(names_of(paths), paths, strict=True))
    given = " ".join(
        f"--assume-comparable {field}" for field in dict.fromkeys(a.difference.field for a in merged.assumed)
    )
    runs = {r.name: _source(at[r.name], r.view) for r in merged.runs}
    command = " ".join(["raysweep report", *(str(p) for p in paths), "--out", str(out), *([given] if given else [])])
    return {
        "runs": runs,
        "assumed": [str(a) for a in merged.assumed],
        "noted": [str(a) for a in merged.noted],
        "command": command,
    }


def _source(path: RunPath, view: LedgerView) -> dict[str, Any]:
    """One run: what `provenance` tells, its dates and its nodes."""
    from raysweep.stats.many import dates_of, nodes_of

    source = {k: v for k, v in provenance(path, view).items() if k != "command"}
    return source | {
        "sandbox": view.facts.sandbox,
        "raysweep": view.environment.get("raysweep"),
        "dates": list(dates_of(view.table)),
        "nodes": list(nodes_of(view.table)),
    }
