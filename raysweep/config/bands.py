"""Bands: multipliers of a task's declared cpu, memory and storage, for the request and for the hard limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from raysweep.config.base import Name, Part
from raysweep.config.fault import Fault, refuse

RESOURCES = ("cpu", "memory", "storage")
_WRITE = "write a multiplier of the spec such as 1.5"


def _multiplier(value: object) -> object:
    """A positive number, or None for the word `none`."""
    if value == "none":
        return None
    if value is None:
        raise refuse("is null, which is not a bound", f"{_WRITE}, or `none` for uncapped")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse("is not a multiplier of the task's spec", f"{_WRITE} (no unit), or `none` for uncapped")
    if not 0 < value < float("inf"):
        raise refuse("is not a positive number", f"{_WRITE}, or `none` for uncapped")
    return float(value)


Multiplier = Annotated[float | None, BeforeValidator(_multiplier)]


class Multipliers(Part):
    """Multipliers of the declared cpu, memory and storage; in code None is no bound. A scalar is for cpu and memory."""

    cpu: Multiplier = Field(1.0, description="multiplier of the declared cpu; `none`: no bound", examples=[1.5])
    memory: Multiplier = Field(1.0, description="multiplier of the declared memory; `none`: no bound", examples=[5])
    storage: Multiplier = Field(1.0, description="multiplier of the declared storage; `none`: no bound", examples=[2])

    @model_validator(mode="before")
    @classmethod
    def _scalar(cls, value: Any) -> Any:
        if isinstance(value, (Mapping, Multipliers)):
            return value
        multiplier = _multiplier(value)
        same = "none" if multiplier is None else multiplier
        return {"cpu": same, "memory": same}


def _finite(value: object) -> object:
    """A request always has a number: nobody can ask a scheduler for `none`."""
    values = value.values() if isinstance(value, Mapping) else [value]
    if "none" in values:
        raise refuse("a request cannot be `none`", "write a multiplier such as 1.0; only a limit can be `none`")
    return value


class Band(Part):
    """Request and limit multipliers under one name."""

    name: Name = Field(description="name of the band, unique", examples=["3x"])
    request: Annotated[Multipliers, BeforeValidator(_finite)] = Field(
        Multipliers(), description="what the scheduler reserves, as a multiplier of the spec", examples=[1.0]
    )
    limit: Multipliers = Field(
        description="the hard limit, as a multiplier of the spec; `none`: uncapped; a map sets it per resource",
        examples=[3.0],
    )


def limit_faults(request: Multipliers, limit: Multipliers) -> Iterator[Fault]:
    """A request above its limit, per resource."""
    for resource in RESOURCES:
        asked, bound = getattr(request, resource), getattr(limit, resource)
        if asked is not None and bound is not None and asked > bound:
            yield Fault(
                ("limit", resource),
                f"the {resource} request of {asked:g} x spec is above the limit",
                f"raise the limit to at least {asked:g}, or lower the request",
                bound,
            )
