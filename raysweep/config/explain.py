"""pydantic's errors in our words: what is wrong, and what to write instead."""

from __future__ import annotations

import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raysweep.config.fault import RULE, Fault, Loc, at, nearest
from raysweep.config.model import Sweep
from raysweep.config.sandbox import SandboxConfig, kinds_with, known_kind

_SHAPES = {
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text; quote it if it is",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must be made of letters, digits, `.`, `_`, `-`, at most 63",
    "string_too_short": "must not be empty",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be more than"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be less than"),
    "too_short": ("min_length", "needs more entries: at least"),
    "too_long": ("max_length", "needs fewer entries: at most"),
}


def explain(error: dict[str, Any], data: Any) -> Fault | None:
    """One entry of ValidationError.errors() as a Fault; `data` is the raw file, to find misspelt keys.

    None for an error that only follows from others: pydantic counts a list's valid entries alone.
    """
    loc, kind, context = tuple(error["loc"]), error["type"], error.get("ctx", {})
    if kind == RULE:
        return Fault(loc, context["message"], context["remedy"], error["input"])
    if kind == "extra_forbidden":
        return _unknown_key(loc, data, error["input"])
    if kind == "missing":
        return Fault(loc, "a required key is missing", _missing_remedy(loc, data))
    if kind == "too_short" and len(error["input"]) >= context["min_length"]:
        return None
    if kind == "literal_error":
        words = [w.strip("'") for w in context["expected"].replace(" or ", ", ").split(", ")]
        return Fault(loc, "is not one of the possible values", nearest(error["input"], words), error["input"])
    return Fault(loc, _message(kind, context, error["msg"]), _like(loc, data), error["input"])


def _message(kind: str, context: Mapping[str, Any], fallback: str) -> str:
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]:g}"
    return _SHAPES.get(kind, fallback[:1].lower() + fallback[1:])


def _unknown_key(loc: Loc, data: Any, value: Any) -> Fault:
    owners = kinds_with(str(loc[-1])) if loc[:-1] == ("sandbox",) else []
    if not owners:
        return Fault(loc, "unknown key", nearest(loc[-1], known_keys(loc[:-1], data)), value)
    names = [f"`{owner}`" for owner in owners]
    said = f"the kind {names[0]}" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    kind = at(data, ("sandbox", "kind"))
    return Fault(loc, f"is an option of {said}, not of `{kind}`", "remove it or change `kind`", value)


def _missing_remedy(loc: Loc, data: Any) -> str:
    known, siblings = known_keys(loc[:-1], data), at(data, loc[:-1])
    strays = [str(k) for k in siblings if k not in known] if isinstance(siblings, Mapping) else []
    close = get_close_matches(str(loc[-1]), strays, n=1, cutoff=0.6)
    return f"is it misspelt as `{close[0]}`?" if close else _like(loc, data)


def _like(loc: Loc, data: Any) -> str:
    """Remedy by the example of the field, or of the nearest field above it."""
    for length in range(len(loc), 0, -1):
        info = field_at(loc[:length], data)
        if info is not None and info.examples:
            key = next(str(p) for p in reversed(loc[:length]) if isinstance(p, str))
            none = ", or `none` for uncapped" if key == "limit" else ""
            return f"write it like `{key}: {flow(info.examples[0])}`{none}"
    return "see docs/config.md"


def flow(value: object) -> str:
    """One line of YAML."""
    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)).strip().removesuffix("\n...")
    )


def known_keys(loc: Loc, data: Any) -> list[str]:
    """Keys that the section at `loc` may have."""
    model = _model_at(loc, data)
    return [] if model is None else list(model.model_fields)


def field_at(loc: Loc, data: Any) -> FieldInfo | None:
    """The field of the sweep's models that `loc` leads to."""
    if not loc or not isinstance(loc[-1], str):
        return None
    model = _model_at(loc[:-1], data)
    return None if model is None else model.model_fields.get(loc[-1])


def _model_at(loc: Loc, data: Any) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Sweep
    named: type[BaseModel] | None = None  # sections by names of the user's: the next part is such a name
    for part in loc:
        if named is not None:
            model, named = named, None
        elif isinstance(part, str):
            info = None if model is None else model.model_fields.get(part)
            model = None if info is None else model_in(info.annotation)
            named = None if info is None else model_by_name(info.annotation)
            kind = known_kind(at(data, ("sandbox", "kind"))) if model is SandboxConfig else None
            model = model if kind is None else kind.options
    return model


def model_by_name(annotation: Any) -> type[BaseModel] | None:
    """The model inside `dict[str, X]`."""
    if get_origin(annotation) is dict:
        return model_in(get_args(annotation)[1])
    return None


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The one model inside `X | None`, `tuple[X, ...]` or `Annotated[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, types.UnionType, Annotated):
        return next((m for m in map(model_in, get_args(annotation)) if m is not None), None)
    return None
