"""`raysweep doctor`: what this machine can enforce, what is missing and how to get it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say
from raysweep.errors import ExitCode
from raysweep.study.doctor import Examination, examine, examine_here
from raysweep.study.load import load_study

if TYPE_CHECKING:
    from raysweep.sandbox.protocol import Check


def doctor_command(path: Path | None, *, as_json: bool) -> int:
    """Print the checks; 0 when every required one holds (without a config: for one of the kinds), else 4."""
    shown: list[Check] = []

    def show(check: Check) -> None:
        if not as_json:
            _say_check(check)
            shown.append(check)

    examinations = [examine(load_study(path), checked=show)] if path is not None else examine_here()
    ok = any(one.ok for one in examinations)
    if as_json:
        first = _as_json(next((one for one in examinations if one.ok), examinations[0]))
        emit(first if path is not None else {**first, "kinds": [_as_json(one) for one in examinations]})
    else:
        for one in examinations:
            _say(one, shown)
    return ExitCode.OK if ok else ExitCode.UNSUITABLE


def _as_json(one: Examination) -> dict[str, Any]:
    return {"ok": one.ok, "kind": one.kind, "checks": [asdict(check) for check in one.checks]}


def _say_check(check: Check) -> None:
    mark = "ok  " if check.ok else ("FAIL" if check.required else "note")
    say(f"{mark}  {check.name}: {check.found}")
    if not check.ok and check.remedy:
        say(f"      remedy: {check.remedy}")
    sys.stdout.flush()  # into a pipe, too


def _say(one: Examination, shown: Sequence[Check]) -> None:
    """All checks that were not shown yet, and what they come to."""
    for check in one.checks:
        if check not in shown:
            _say_check(check)
    say(f"{one.kind} sandboxes {'can' if one.ok else 'cannot'} enforce bands here")
