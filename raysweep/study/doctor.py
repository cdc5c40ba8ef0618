"""What this machine can enforce, for a sweep or at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.errors import UnsuitableError
from raysweep.kind import usable_kinds
from raysweep.study.compose import planned_sandboxes, recipe, scratch_root
from raysweep.study.load import refuse_missing_keys

if TYPE_CHECKING:
    from raysweep.sandbox.protocol import Check
    from raysweep.study.load import Study


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one kind of sandbox."""

    kind: str
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Whether every required check holds."""
        return not self.failed

    @property
    def failed(self) -> list[Check]:
        """The required checks that do not hold."""
        return [check for check in self.checks if check.required and not check.ok]


def examine(study: Study, runner: str = "doctor", *, checked: Callable[[Check], None] | None = None) -> Examination:
    """The checks for a sweep, of its kind of sandbox.

    Args:
        study: what the sandboxes are for.
        runner: who asks, for what the checks make on the way.
        checked: gets each check when it is known, where the kind tells them one by one.

    """
    from raysweep.sandbox.protocol import TellsChecks

    provider = recipe(study.sweep)(runner)
    if checked is not None and isinstance(provider, TellsChecks):
        provider.checked = checked
    return Examination(provider.kind, provider.doctor(planned_sandboxes(study)))


def examine_here() -> list[Examination]:
    """The checks of every kind of sandbox that runs on this machine."""
    from raysweep.sandbox.factory import ProviderRecipe

    here = [kind.name for kind in usable_kinds() if kind.here]
    return [Examination(kind, ProviderRecipe(kind, scratch_root())("doctor").doctor()) for kind in here]


def refuse_unsuitable(study: Study) -> None:
    """Refuse before anything is written.

    Raises:
        InputError: the key of an API is missing.
        UnsuitableError: the sandbox cannot enforce the bands here.

    """
    refuse_missing_keys(study)
    failed = examine(study, "driver").failed
    if failed:
        raise UnsuitableError(
            "; ".join(f"{c.name}: {c.found}" for c in failed),
            " | ".join(dict.fromkeys(c.remedy for c in failed if c.remedy)) or "see raysweep doctor",
        )
