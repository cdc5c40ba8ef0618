"""The record of a run directory that the registered rule stopped its sweep; written once, and it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raysweep.record.store import Store

RECORD = "stopped.json"


def read_stop(store: Store) -> dict[str, Any] | None:
    """What stopped the sweep, {look, looks, dates, planned_dates, reason, stopped_at}; None where nothing did."""
    if not store.exists(RECORD):
        return None
    told: dict[str, Any] = json.loads(store.get(RECORD))
    return told


def write_stop(store: Store, told: Mapping[str, Any], now: float) -> None:
    """Record that the rule stopped the sweep at `now` (seconds since the epoch); the first record stands."""
    try:
        store.put_new(RECORD, json.dumps({**told, "stopped_at": now}, indent=1).encode())
    except FileExistsError:
        return
