"""What an agent reports, made fit for a row and a trace: types checked, texts and files bounded.

Belongs here: rules for values that come from somebody else's code. Does not: running that code (agent.running).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from raysweep.record.evidence import AgentFacts, CommandFacts

TRACE_LIMIT = 16 << 20
"""Bytes of an agent's own trace files in all; a file that goes beyond is left out."""
TEXT_LIMIT = 4000
"""Characters of a text in the ledger."""
_NAME_LIMIT = 100
_LARGEST = (1 << 63) - 1  # integer columns have 64 bits
_TEXTS = ("printed", "error", "model_api_error", "harness")
_TYPES: Mapping[type, Mapping[str, type]] = {
    AgentFacts: {
        "command": CommandFacts,
        **dict.fromkeys(_TEXTS, str),
        **dict.fromkeys(("tokens_in", "tokens_out", "tokens_cached", "api_429"), Integral),
        **dict.fromkeys(("cost_usd", "api_p50_ms", "api_p95_ms"), Real),
        "timed_out": bool,
        "traces": Mapping,
    },
    CommandFacts: {"exit": Integral, "signal": Integral, "timed_out": bool, "duration_s": Real},
}
_NEVER_NONE = ("timed_out", "traces")


def usable_facts(facts: object) -> tuple[AgentFacts, dict[str, bytes]]:
    """(the facts without their traces, the files of the trace by name).

    Raises TypeError or ValueError for what no row can hold.
    """
    if not isinstance(facts, AgentFacts):
        raise TypeError(f"the agent returned {type(facts).__name__}, not AgentFacts")
    _check(facts)
    if facts.command is not None:
        _check(facts.command)
    kept, left_out = _bounded(facts.traces)
    texts = {name: plain_text(text) for name in _TEXTS if (text := getattr(facts, name)) is not None}
    if left_out:
        note = f"traces left out above {TRACE_LIMIT >> 20} MiB: {', '.join(left_out)}"
        texts["printed"] = plain_text(f"{texts.get('printed', '')} {note}".strip())
    return replace(facts, traces={}, api=None, **texts), kept  # type: ignore[arg-type]


def plain_text(text: str) -> str:
    """The text as a ledger can hold it: bounded, and without surrogates, which no file takes."""
    return text[:TEXT_LIMIT].encode("utf-8", "backslashreplace").decode()


def _check(facts: AgentFacts | CommandFacts) -> None:
    for name, kind in _TYPES[type(facts)].items():
        value: Any = getattr(facts, name)
        if value is None and name not in _NEVER_NONE:
            continue
        if not isinstance(value, kind):
            raise TypeError(f"{type(facts).__name__}.{name} is {type(value).__name__}, not {kind.__name__}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"{type(facts).__name__}.{name} is too large: {value}")


def _bounded(traces: Mapping[Any, Any]) -> tuple[dict[str, bytes], list[str]]:
    """(the files that fit TRACE_LIMIT, in order; names of the others)."""
    kept: dict[str, bytes] = {}
    left_out = []
    room = TRACE_LIMIT
    for name, data in traces.items():
        if not isinstance(name, str) or not isinstance(data, bytes | bytearray):
            raise TypeError(f"AgentFacts.traces has {type(data).__name__} under {name!r}; it maps names to bytes")
        plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip(".")[:_NAME_LIMIT]
        if len(data) > room or not plain:
            left_out.append(name)
            continue
        room -= len(data)
        kept[f"agent-{plain}"] = bytes(data)
    return kept, left_out
