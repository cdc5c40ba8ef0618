"""Epochs: each writer of a run directory begins one, with a record of how much every earlier one had sealed.

Segments beyond that count are ignored by readers, so a writer that was paused past its time cannot add to the ledger
behind its successor's back, and fencing needs no clocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from raysweep.errors import bad_input
from raysweep.record.store import Store

READERS = 8
"""Blobs read at one time: reading one is mostly waiting in an object store."""


def epoch_name(epoch: int) -> str:
    """Name of the record that begins an epoch."""
    return f"ledger/epoch-{epoch:04d}.json"


def read_epochs(store: Store) -> dict[int, dict[str, Any]]:
    """All epochs begun so far, by number; InputError names a record that cannot be read."""
    names = [name for name in store.names("ledger") if name.startswith("epoch-")]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(pool.map(partial(_read_epoch, store), names))


def _read_epoch(store: Store, name: str) -> tuple[int, dict[str, Any]]:
    try:
        told = json.loads(store.get(f"ledger/{name}"))
        sealed = {str(int(epoch)): int(count) for epoch, count in told["sealed"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        place = f"{store.where}/ledger/{name}"
        raise bad_input(
            f"this record of an epoch cannot be read ({error})", "restore it from a copy", file=place
        ) from error
    return int(name[6:-5]), {**told, "sealed": sealed}


def last_epoch(store: Store) -> int:
    """Number of the newest epoch; 0 before the first."""
    return max((int(n[6:-5]) for n in store.names("ledger") if n.startswith("epoch-")), default=0)


def begin_epoch(store: Store, epoch: int, began: float, sealed: Mapping[str, int], facts: Mapping[str, Any]) -> None:
    """Write the record of an epoch; FileExistsError when another writer began it.

    began: seconds since the epoch of clocks. sealed: segments per earlier epoch. facts: what else to tell; with what
    the lock tells of its holder it must make the record like no other.
    """
    record = {"epoch": epoch, "began": began, "sealed": dict(sealed), **facts}
    store.put_new(epoch_name(epoch), json.dumps(record, indent=1).encode())


def counted(epochs: Mapping[int, Mapping[str, Any]], epoch: int) -> int | None:
    """Segments of an epoch that count; None while no later epoch has begun."""
    later = [e for e in epochs if e > epoch]
    return int(epochs[min(later)]["sealed"].get(str(epoch), 0)) if later else None
