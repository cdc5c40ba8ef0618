"""Deterministic identifiers: the same sweep gives the same ids on every machine.

Ids are lower-case hex so that they are valid Kubernetes names and file names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def digest(data: bytes) -> str:
    """Content digest, "sha256:" and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short_id(prefix: str, parts: Sequence[str | int | None]) -> str:
    """`prefix` and 12 hex digits of the sha256 of the parts (JSON, so that no two part lists collide by joining)."""
    text = json.dumps(list(parts), separators=(",", ":"), ensure_ascii=False)
    return f"{prefix}{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def attempt_id(trial_id: str, attempt: int) -> str:
    """Identifier of the n-th (1, 2, ...) execution of a trial, over all its block runs."""
    return f"{trial_id}-{attempt}"
