"""Faults: what is wrong with one place of a sweep, in the form that pydantic can carry to the surface.

Rules raise `refuse(...)` from field validators, or yield `Fault`s that `raise_faults` turns into one error per place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Loc = tuple[str | int, ...]
RULE = "raysweep_rule"
"""The pydantic error type of every rule of ours; its context holds `message` and `remedy`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule at `loc` (keys and 0-based list places); `value` is what was found there."""

    loc: Loc
    message: str
    remedy: str
    value: Any = None

    def under(self, *prefix: str | int) -> Fault:
        """The same fault, seen from further up."""
        return Fault((*prefix, *self.loc), self.message, self.remedy, self.value)


def refuse(message: str, remedy: str) -> PydanticCustomError:
    """The error that a field validator raises; braces in the texts are safe."""
    return PydanticCustomError(RULE, "{message}; {remedy}", {"message": message, "remedy": remedy})


def raise_faults(title: str, faults: Iterable[Fault]) -> None:
    """Raise one ValidationError that holds every fault; nothing when there are none."""
    details = [InitErrorDetails(type=refuse(f.message, f.remedy), loc=f.loc, input=f.value) for f in faults]
    if details:
        raise ValidationError.from_exception_data(title, details)


def at(data: Any, loc: Loc) -> Any:
    """What raw data has at `loc`, or the scalar above it that stands for several keys; Ellipsis for nothing."""
    value = data
    for part in loc:
        if isinstance(value, list):
            value = value[part] if isinstance(part, int) and part < len(value) else ...
        elif isinstance(value, Mapping):
            value = value.get(part, ...)
        elif part == "":
            return ...  # the second of two equal keys has no place in the data
    return value


def nearest(word: object, known: Iterable[str]) -> str:
    """Remedy that names the nearest known word, or all of them."""
    names = list(known)
    close = get_close_matches(str(word), names, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"use one of: {', '.join(names)}"
