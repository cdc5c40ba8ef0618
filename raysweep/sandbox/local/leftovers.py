"""What dead runners left behind: cgroups with processes in them, and folders. Mounts end with their processes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from raysweep.process import is_alive
from raysweep.sandbox.cgroup.group import Group
from raysweep.sandbox.local.disk import remove_tree
from raysweep.sandbox.local.groups import locked, remove_groups
from raysweep.sandbox.local.names import RUN_PREFIX, parse_home, run_name, safe

_log = logging.getLogger(__name__)


def remove_leftovers(parent: Group, scratch: Path, run_id: str | None, keep: frozenset[str]) -> list[str]:
    """Remove one run's sandboxes (live owners' too: the caller owns the run), or those of dead owners. Blocking.

    Returns what was removed, as paths.
    """
    removed = []
    kept = {safe(name) for name in keep}
    for run, home_name in list(_homes(parent, scratch, run_id)):
        home = parse_home(home_name)
        if home is None or home.name in kept or (run_id is None and is_alive(home.owner)):
            continue
        group, folder = parent.child(run).child(home_name), scratch / run / home_name
        places = [str(path) for path in (*group.folders, folder) if path.exists()]
        remove_groups(parent.child(run), group, scratch)
        remove_tree(folder)
        removed += places
        _log.info("removed %s", ", ".join(places) or home_name)
    return removed + _empty_runs(parent, scratch, run_id)


def _homes(parent: Group, scratch: Path, run_id: str | None) -> Iterator[tuple[str, str]]:
    """(run, sandbox) names that have a cgroup or a folder."""
    for run in sorted(_runs(parent, scratch, run_id)):
        yield from ((run, home) for home in sorted(parent.child(run).children() | _folders(scratch / run)))


def _runs(parent: Group, scratch: Path, run_id: str | None) -> set[str]:
    if run_id is not None:
        return {run_name(run_id)}
    names = parent.children() | _folders(scratch)
    return {name for name in names if name.startswith(RUN_PREFIX)}


def _folders(path: Path) -> set[str]:
    with contextlib.suppress(OSError):
        return {entry.name for entry in path.iterdir() if entry.is_dir()}
    return set()


def _empty_runs(parent: Group, scratch: Path, run_id: str | None) -> list[str]:
    removed = []
    for run in sorted(_runs(parent, scratch, run_id)):
        group = parent.child(run)
        with locked(scratch):
            if group.exists() and group.remove_if_empty():
                removed += [str(folder) for folder in group.folders]
        with contextlib.suppress(OSError), locked(scratch):
            (scratch / run).rmdir()
            removed.append(str(scratch / run))
    return removed
