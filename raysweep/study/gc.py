"""Removing what dead runs left behind: sandboxes, cgroups, mounts, pods and Leases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raysweep.errors import UnsuitableError, bad_input
from raysweep.kind import usable_kinds
from raysweep.study.compose import scratch_root

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.sandbox.factory import ProviderRecipe


def collect_leftovers(run: RunPath | None = None, cluster: tuple[str, str | None] | None = None) -> list[str]:
    """Remove leftovers of dead runs.

    Args:
        run: only those of this run; None for every run whose driver is dead.
        cluster: namespace and context of the cluster to look at, None for this machine and its Docker Engine.

    Returns:
        What was removed, by name.

    Raises:
        InputError: the run is still active, or there is none.
        UnsuitableError: no kind of sandbox can be used here.

    """
    from raysweep.sandbox.factory import ProviderRecipe

    run_id = None if run is None else _ended_run(run)
    if cluster is not None:
        options = {"namespace": cluster[0], "context": cluster[1]}
        recipes = [ProviderRecipe("kubernetes", scratch_root(), options)]
    else:
        recipes = [ProviderRecipe(kind.name, scratch_root()) for kind in usable_kinds() if kind.here]
    return asyncio.run(_collect(recipes, run_id))


def _ended_run(run: RunPath) -> str:
    """Id of the run; InputError while its driver lives."""
    from raysweep.clock import SystemClock
    from raysweep.record.place import holder_of
    from raysweep.record.reader import open_run
    from raysweep.record.run_facts import read_facts

    run_id = read_facts(open_run(run)).run_id
    if holder_of(run, SystemClock()) is not None:
        raise bad_input("this run is still active", "stop its driver first (Ctrl-C)", file=str(run))
    return run_id


async def _collect(recipes: Sequence[ProviderRecipe], run_id: str | None) -> list[str]:
    """What was removed, of all kinds that can be had here; UnsuitableError when none can."""
    removed: list[str] = []
    failures: list[UnsuitableError] = []
    for recipe in recipes:
        try:
            removed += await recipe("gc").gc(run_id)
        except UnsuitableError as error:
            failures.append(error)
    if len(failures) == len(recipes):
        raise failures[0]
    return removed
