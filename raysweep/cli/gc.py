"""`raysweep gc`: remove what dead runs left behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from raysweep.cli.compose import scratch_root
from raysweep.cli.output import emit, say
from raysweep.errors import bad_input


def gc_command(run: Path | None, cluster: tuple[str, str | None] | None, *, as_json: bool) -> None:
    """Remove leftovers of one run, or of every run whose driver is dead; say what was removed.

    cluster: namespace and context of the cluster to look at, None for this machine.
    """
    from raysweep.record.lock import LocalLock
    from raysweep.record.reader import open_run
    from raysweep.sandbox.factory import ProviderRecipe

    run_id = None
    if run is not None:
        run_id = json.loads(open_run(run).get("run.json"))["run_id"]
        if LocalLock.holder(run) is not None:
            raise bad_input("this run is going on", "end its driver first (Ctrl-C)", file=str(run))
    recipe = ProviderRecipe("local", scratch_root())
    if cluster is not None:
        options = {"namespace": cluster[0], "context": cluster[1]}
        recipe = ProviderRecipe("kubernetes", scratch_root(), options)
    removed = asyncio.run(recipe("gc").gc(run_id))
    if as_json:
        emit({"removed": list(removed)})
        return
    for name in removed:
        say(f"removed {name}")
    say(f"{len(removed)} leftovers removed")
