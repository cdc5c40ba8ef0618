"""`raysweep doctor`: what this machine can enforce, what is missing and how to get it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say
from raysweep.errors import ExitCode
from raysweep.kind import usable_kinds
from raysweep.study.compose import planned_sandboxes, recipe, scratch_root
from raysweep.study.load import load_study

if TYPE_CHECKING:
    from raysweep.sandbox.protocol import Check


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one kind of sandbox."""

    kind: str
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Whether every required check holds."""
        return all(check.ok for check in self.checks if check.required)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"ok": self.ok, "kind": self.kind, "checks": [asdict(check) for check in self.checks]}


def doctor_command(path: Path | None, *, as_json: bool) -> int:
    """Print the checks; 0 when every required one holds (without a config: for one of the kinds), else 4."""
    shown: list[Check] = []

    def show(check: Check) -> None:
        if not as_json:
            _say_check(check)
            shown.append(check)

    seen = _examine_for(path, show) if path is not None else _examine_here()
    ok = any(one.ok for one in seen)
    if as_json:
        first = next((one for one in seen if one.ok), seen[0]).as_json()
        emit(first if path is not None else {**first, "kinds": [one.as_json() for one in seen]})
        return ExitCode.OK if ok else ExitCode.UNSUITABLE
    for one in seen:
        _say(one, shown)
    return ExitCode.OK if ok else ExitCode.UNSUITABLE


def _examine_for(path: Path, show: Callable[[Check], None]) -> list[Examination]:
    from raysweep.sandbox.protocol import TellsChecks

    study = load_study(path)
    provider = recipe(study.sweep)("doctor")
    if isinstance(provider, TellsChecks):
        provider.checked = show
    return [Examination(provider.kind, provider.doctor(planned_sandboxes(study)))]


def _examine_here() -> list[Examination]:
    from raysweep.sandbox.factory import ProviderRecipe

    here = [kind.name for kind in usable_kinds() if kind.here]
    return [Examination(kind, ProviderRecipe(kind, scratch_root())("doctor").doctor()) for kind in here]


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
