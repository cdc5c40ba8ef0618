"""docs/config.md: every key of a sweep, written from the models themselves. `python -m raysweep.config.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raysweep.config.explain import flow, model_by_name, model_in
from raysweep.config.model import Sweep
from raysweep.config.sandbox import SandboxConfig
from raysweep.kind import BUILT_IN, find_kind

HEAD = """# The sweep file, key by key

<!-- Written by `python -m raysweep.config.reference > docs/config.md`; a test holds it equal to the code. -->

One YAML file describes a sweep. `raysweep check FILE` names every problem at once, each with its line, key, value and
remedy. Unknown keys are refused with the nearest known key. `configs/quickstart.yaml` is a complete example.

Quantities: memory and storage `2Gi`, `512Mi`; cpu `2`, `0.5` or `500m`; durations `90s`, `15m`, `24h` (the unit is
needed); differences of rates `2pp` (percentage points). Names are letters, digits, `.`, `_` and `-`, at most 63.
Quote windows: YAML reads an unquoted `12:30` as a number.
"""

TAIL = """## How bands multiply

A band multiplies what each task declares (or `tasks.defaults`). A scalar is for cpu and memory; storage, and any
resource that a map leaves out, stays at 1.0 x spec. So `limit: 3.0` is three times the declared cpu and memory,
`limit: {memory: 5}` raises memory alone, `limit: none` takes the bounds from cpu and memory, and
`limit: {cpu: none, memory: 5}` mixes. `limit` has no default, and `null` is refused: say `none`. A request has no
`none`. Where a band asks for a request equal to its limit in cpu and memory, the cpu request is 1 millicore lower:
Kubernetes would else put that arm alone into another class of eviction and OOM order. `sandbox: {qos: native}` leaves
it as it is.

## How buckets and dates work

With `period: 24h` windows are clock times in `timezone` and a date is a calendar date on one of `weekdays`. With a
shorter period windows are offsets from the start of a cycle, which begins when the run begins, and a date is a cycle.
A window that ends before it starts passes midnight (or the end of the cycle) and belongs to the date on which it
opened. `repeats` counts per task, arm and bucket over all dates, so it must be a multiple of `dates`: every date gets
the same number. Blocks that could not be run in their window may be made up in the same window on `makeup_dates`
further dates. Without `buckets` there is one bucket `all`, always open.

## How factors make arms

The band is one factor; `factors` adds others, each with named levels and a reference. By default each varies alone: an
arm for every level that is not the reference, at the reference band, with all other factors at their reference. With
`design: full` every combination of levels has an arm under every band. [factors.md](factors.md) says what each factor
does to an attempt, and where it is honoured.

## What stays the same

Identifiers of blocks and trials are made of the sweep's name and seed, the names of task, model and band and of levels
that are not the reference, the repeat, the bucket and the number of the date. They do not depend on real dates or on
the order of keys and entries, and a task, model, band or factor that is added or left out leaves the others' as they
were. Every trial has a seed of its own, bands
of one block included: what an agent does by chance is noise in a contrast of bands, as it is with a language model.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(title, model) for title, model in sections()), TAIL])


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its dotted title, the sweep itself first."""
    yield from _walk("", Sweep)


def _walk(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    if model is SandboxConfig:
        for name in BUILT_IN:
            yield from _walk(f"{path} (kind {name})", find_kind(name).options)
    for key, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is not None:
            listed = "[]" if "tuple" in str(info.annotation) else ""
            yield from _walk(f"{path.partition(' (')[0]}.{key}{listed}".lstrip("."), inner)
        named = model_by_name(info.annotation)
        if named is not None:
            yield from _walk(f"{path}.{key}.NAME".lstrip("."), named)


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"## `{path}`" if path else "## Top level"
    about = (model.__doc__ or "").strip().split("\n\n")
    inherited = SandboxConfig.model_fields if issubclass(model, SandboxConfig) and model is not SandboxConfig else ()
    rows = [_row(key, info) for key, info in model.model_fields.items() if key not in inherited]
    intro = "\n\n".join(" ".join(paragraph.split()) for paragraph in about)
    return "\n".join([title, "", intro, "", "| key | default | meaning | example |", "|---|---|---|---|", *rows, ""])


def _row(key: str, info: FieldInfo) -> str:
    example = f"`{flow(info.examples[0])}`" if info.examples else ""
    cells = [f"`{key}`", _default(key, info), info.description or "", example]
    return f"| {' | '.join(c.replace('|', chr(92) + '|') for c in cells)} |"


SPOKEN: dict[str, str] = {
    "weekdays": "`all`",
    "start": "`now`",
    "period": "`24h`",
    "delta": "`2pp`",
    "request": "`1.0`",
    "duration": "`[0.5s, 1.5s]`",
    "start_timeout": "`10m`",
}
"""Defaults whose spelling in a file differs from their value in code."""


def _default(key: str, info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    if key in SPOKEN:
        return SPOKEN[key]
    value: Any = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or (not value and not isinstance(value, (int, float))):
        return "as below" if isinstance(value, BaseModel) else "-"
    return f"`{flow(list(value) if isinstance(value, tuple) else value)}`"


if __name__ == "__main__":
    sys.stdout.write(markdown())
