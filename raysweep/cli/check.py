"""`raysweep check`: every problem of a sweep and its tasks at once; nothing is run or written."""

from __future__ import annotations

from pathlib import Path

from raysweep.cli.output import emit, say
from raysweep.study.load import load_study


def check_command(path: Path, *, as_json: bool) -> None:
    """Say what the sweep holds; InputError (exit 2) names every problem."""
    study = load_study(path)
    sweep = study.sweep
    notes = {t.name: list(t.notes) for t in study.tasks.values() if t.notes}
    if as_json:
        emit({"ok": True, "tasks": len(study.tasks), "trials": study.plan.trials, "notes": notes})
        return
    factors = sweep.factors.declared
    say(
        f"{path}: ok. {len(study.tasks)} tasks, {len(sweep.models)} models, {len(sweep.bands)} bands, "
        f"{f'{len(factors)} factors, ' if factors else ''}"
        f"{len(sweep.bucket_names)} buckets, {study.plan.trials} trials in {len(study.plan.blocks)} blocks"
    )
    for name, lines in notes.items():
        for line in lines:
            say(f"note: {name}: {line}")
