"""The sandbox section: what every kind has, and how the model of a kind is found.

The options of a kind are a subclass of `SandboxConfig` that its `SandboxKind` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from raysweep.config.base import Part, Whole
from raysweep.config.fault import nearest, refuse
from raysweep.kind import SandboxKind, UnusableKindError, find_kind, kind_names, usable_kinds

T = TypeVar("T")
OF_EACH_TRIAL = frozenset({"kind", "pids", "network", "images", "image_mirror"})
"""Options that no provider is made of: each trial's order says what its sandbox gets of them."""


def _kind(value: object) -> object:
    try:
        kind_of(value)
    except UnusableKindError as error:
        raise refuse(error.message, error.remedy) from error
    except KeyError:
        raise refuse("is not a kind of sandbox", nearest(value, kind_names())) from None
    return value


def kind_of(value: object) -> SandboxKind:
    """The kind that `sandbox.kind` names; KeyError, UnusableKindError."""
    if not isinstance(value, str):
        raise KeyError(value)
    kind = find_kind(value)
    if not issubclass(kind.options, SandboxConfig):
        what = f"the options of the kind `{kind.name}` are no `raysweep.config.sandbox.SandboxConfig`"
        raise UnusableKindError(what, f"install a version of the package that brings `{kind.name}` that works")
    return kind


def known_kind(value: object) -> SandboxKind | None:
    """The kind that `sandbox.kind` names, None where it names none that can be used."""
    try:
        return kind_of(value)
    except (KeyError, UnusableKindError):
        return None


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What options of a kind may need to know of the rest of the sweep.

    Attributes:
        seed: the sweep's.
        timezone: of its buckets.
        phases: middle of each bucket as a share of the period.
        image: gives the name under which an image is taken, mirror or not.

    """

    seed: int = 0
    timezone: str = "UTC"
    phases: Mapping[str, float] = field(default_factory=dict)
    image: Callable[[str], str] = str


class SandboxConfig(Part):
    """What a trial runs in: the kind of sandbox, and options. Each kind has options of its own, listed below."""

    kind: Annotated[str, BeforeValidator(_kind)] = Field(
        description="local (bubblewrap and a cgroup on this machine), docker (containers of an engine that speaks the "
        "Engine API), kubernetes (a pod for each trial), simulated (a stated truth), or a kind that an installed "
        "package adds",
        examples=["local"],
    )
    pids: Annotated[Whole, Field(ge=16)] = Field(
        1024,
        description="most tasks inside one sandbox (kubernetes: the kubelet's `podPidsLimit` decides)",
        examples=[1024],
    )

    def option(self, name: str, otherwise: T) -> T:
        """Value of an option, `otherwise` where this kind has no such option."""
        return getattr(self, name, otherwise)

    def provider_options(self, study: StudyFacts) -> dict[str, Any]:  # noqa: ARG002 - for kinds that need it
        """What the kind's provider is made of: its own options as plain values; none that is left out."""
        return {key: value for key, value in self.model_dump(exclude=set(OF_EACH_TRIAL)).items() if value is not None}


def _of_its_kind(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The section as the model of its kind; where the kind is not known, only that is said."""
    if not isinstance(value, Mapping):
        return validate(value)
    kind = known_kind(value.get("kind"))
    if kind is None:
        return validate({key: value[key] for key in SandboxConfig.model_fields if key in value})
    return kind.options.model_validate(value)


AnySandbox = Annotated[SandboxConfig, WrapValidator(_of_its_kind)]
"""The section as the model of whatever kind it names."""


def kinds_with(option: str) -> list[str]:
    """Names of the kinds that have an option."""
    return [kind.name for kind in usable_kinds() if option in kind.options.model_fields]
