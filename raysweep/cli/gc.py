"""`raysweep gc`: remove what dead runs left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysweep.cli.output import emit, say
from raysweep.study.gc import collect_leftovers

if TYPE_CHECKING:
    from raysweep.record.place import RunPath


def gc_command(run: RunPath | None, cluster: tuple[str, str | None] | None, *, as_json: bool) -> None:
    """Remove leftovers of one run, or of every run whose driver is dead; say what was removed.

    cluster: namespace and context of the cluster to look at, None for this machine and its Docker Engine.
    """
    removed = collect_leftovers(run, cluster)
    if as_json:
        emit({"removed": removed})
        return
    for name in removed:
        say(f"removed {name}")
    say(f"{len(removed)} leftovers removed")
