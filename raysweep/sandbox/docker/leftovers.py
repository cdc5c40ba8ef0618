"""What dead runners left on an engine: containers, with their anonymous volumes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from raysweep.process import DEAD, owner_state
from raysweep.sandbox.docker.engine import Engine
from raysweep.sandbox.docker.shape import ATTEMPT_LABEL, OWNER_LABEL, RUN_LABEL

_log = logging.getLogger(__name__)

AT_ONCE = 8


async def remove_leftovers(engine: Engine, run_id: str | None, keep: frozenset[str]) -> list[str]:
    """Remove one run's sandboxes (live owners' too: the caller owns the run), or those of dead owners.

    An owner on another machine cannot be looked at: what it owns is left alone unless its run is named. Returns what
    was removed, as "container NAME".
    """
    label = RUN_LABEL if run_id is None else f"{RUN_LABEL}={run_id}"
    leftovers = [one for one in await engine.labelled(label) if _is_leftover(one.get("Labels") or {}, run_id, keep)]
    limit = asyncio.Semaphore(AT_ONCE)

    async def remove(one: Mapping[str, Any]) -> str | None:
        async with limit:
            return _name(one) if await engine.remove(str(one["Id"])) else None

    removed = [name for name in await asyncio.gather(*map(remove, leftovers)) if name is not None]
    for name in removed:
        _log.info("removed %s", name)
    return removed


def _is_leftover(labels: Mapping[str, str], run_id: str | None, keep: frozenset[str]) -> bool:
    if labels.get(ATTEMPT_LABEL) in keep:
        return False
    return run_id is not None or owner_state(labels.get(OWNER_LABEL, "")) == DEAD


def _name(one: Mapping[str, Any]) -> str:
    names = one.get("Names") or [one["Id"]]
    return f"container {str(names[0]).lstrip('/')}"
