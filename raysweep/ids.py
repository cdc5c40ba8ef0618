"""Deterministic identifiers: the same sweep gives the same ids on every machine.

Ids are lower-case hex so that they are valid Kubernetes names and file names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

_quoted = json.encoder.encode_basestring
"""A text in JSON's quotes, everything beyond ASCII as it is."""


def digest(data: bytes) -> str:
    """Content digest, "sha256:" and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def json_parts(parts: Iterable[str | int | None]) -> str:
    """The parts as the inside of a JSON list, so that no two part lists collide by joining."""
    return ",".join(
        [
            _quoted(part) if isinstance(part, str) else str(part) if type(part) is int else json.dumps(part)
            for part in parts
        ]
    )


def id_of(prefix: str, parts: str) -> str:
    """`prefix` and 12 hex digits of the sha256 of a JSON list whose inside is `parts`."""
    return prefix + hashlib.sha256(f"[{parts}]".encode()).hexdigest()[:12]


def short_id(prefix: str, parts: Iterable[str | int | None]) -> str:
    """`prefix` and 12 hex digits of the sha256 of the parts as JSON."""
    return id_of(prefix, json_parts(parts))


def attempt_id(trial_id: str, attempt: int) -> str:
    """Identifier of the n-th (1, 2, ...) execution of a trial, over all its block runs."""
    return f"{trial_id}-{attempt}"
