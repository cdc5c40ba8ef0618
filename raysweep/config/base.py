"""The base of all config models and the field types they share: strict scalars, quantities, names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from raysweep.config.fault import refuse
from raysweep.units import MIB, parse_bytes, parse_duration, parse_millicores, parse_points

DEFAULT_CONCURRENCY = 2
"""`runner.concurrency` where a sweep does not say it."""


class Part(BaseModel):
    """A section of a sweep: immutable, and no key passes that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _parsed(parse: Callable[[Any], float], example: str) -> BeforeValidator:
    """A validator that reads a quantity with one of the parsers of units; numbers that are parsed already pass."""

    def read(value: object) -> object:
        if value is None or isinstance(value, (bool, list, dict)):
            raise refuse("is not a quantity", f"write it like {example}")
        try:
            return parse(value)
        except ValueError as error:
            message, _, remedy = str(error).partition("; ")
            raise refuse(message, remedy or f"write it like {example}") from error

    return BeforeValidator(read)


def _duration(value: str | float) -> float:
    if isinstance(value, str) and value.strip().replace(".", "", 1).isdigit():
        raise ValueError(f"{value!r} has no unit; write it like 90s, 15m or 24h")
    return parse_duration(value)


def _sized(value: str | int) -> int:
    size = parse_bytes(value)
    if size < MIB:
        raise ValueError(f"{value!r} is less than 1 MiB; write the unit, like 2Gi or 512Mi")
    return size


def _cores(value: str | float) -> int:
    millicores = parse_millicores(value)
    if millicores < 1:
        raise ValueError(f"{value!r} is less than 1 millicore; write it like 2, 0.5 or 500m")
    return millicores


def _points(value: str | float) -> float:
    return value if isinstance(value, float) and 0 < value < 1 else parse_points(value)


Text = Annotated[str, Strict(), Field(min_length=1)]
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
"""A name that is also a valid label of Kubernetes: letters, digits, `.`, `_`, `-`, at most 63."""
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Rate = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Millicores = Annotated[int, _parsed(_cores, "2, 0.5 or 500m")]
Bytes = Annotated[int, _parsed(_sized, "2Gi or 512Mi")]
Seconds = Annotated[float, _parsed(_duration, "90s, 15m or 24h")]
Points = Annotated[float, _parsed(_points, "2pp")]
"""A difference of rates as a fraction, written in percentage points."""
