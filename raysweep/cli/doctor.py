"""`raysweep doctor`: what this machine can enforce, what is missing and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from raysweep.cli.compose import load_study, planned_sandboxes, recipe, scratch_root
from raysweep.cli.output import emit, say
from raysweep.errors import ExitCode


def doctor_command(path: Path | None, *, as_json: bool) -> int:
    """Print the checks; 0 when every required one holds, else 4."""
    from raysweep.sandbox.factory import ProviderRecipe

    study = load_study(path) if path is not None else None
    made = recipe(study.sweep) if study is not None else ProviderRecipe("local", scratch_root())
    provider = made("doctor")
    checks = provider.doctor(planned_sandboxes(study) if study is not None else None)
    ok = all(c.ok for c in checks if c.required)
    if as_json:
        emit({"ok": ok, "kind": provider.kind, "checks": [asdict(c) for c in checks]})
        return ExitCode.OK if ok else ExitCode.UNSUITABLE
    for check in checks:
        mark = "ok  " if check.ok else ("FAIL" if check.required else "note")
        say(f"{mark}  {check.name}: {check.found}")
        if not check.ok and check.remedy:
            say(f"      remedy: {check.remedy}")
    kind = provider.kind
    say(f"{kind} sandboxes can enforce bands here" if ok else f"{kind} sandboxes cannot enforce bands here")
    return ExitCode.OK if ok else ExitCode.UNSUITABLE
