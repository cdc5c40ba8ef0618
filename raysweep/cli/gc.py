"""`raysweep gc`: remove what dead runs left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raysweep.cli.output import emit, say
from raysweep.errors import UnsuitableError, bad_input
from raysweep.kind import usable_kinds
from raysweep.study.compose import scratch_root

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.sandbox.factory import ProviderRecipe


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


def gc_command(run: RunPath | None, cluster: tuple[str, str | None] | None, *, as_json: bool) -> None:
    """Remove leftovers of one run, or of every run whose driver is dead; say what was removed.

    cluster: namespace and context of the cluster to look at, None for this machine and its Docker Engine.
    """
    from raysweep.clock import SystemClock
    from raysweep.record.place import holder_of
    from raysweep.record.reader import open_run
    from raysweep.record.run_facts import read_facts
    from raysweep.sandbox.factory import ProviderRecipe

    run_id = None
    if run is not None:
        run_id = read_facts(open_run(run)).run_id
        if holder_of(run, SystemClock()) is not None:
            raise bad_input("this run is still active", "stop its driver first (Ctrl-C)", file=str(run))
    here = [kind.name for kind in usable_kinds() if kind.here]
    recipes = [ProviderRecipe(kind, scratch_root()) for kind in here]
    if cluster is not None:
        options = {"namespace": cluster[0], "context": cluster[1]}
        recipes = [ProviderRecipe("kubernetes", scratch_root(), options)]
    removed = asyncio.run(_collect(recipes, run_id))
    if as_json:
        emit({"removed": list(removed)})
        return
    for name in removed:
        say(f"removed {name}")
    say(f"{len(removed)} leftovers removed")
