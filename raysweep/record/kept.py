"""The tasks that a run keeps: one archive for each digest, written once, in the run's own store.

What an archive holds is the business of raysweep.tasks.archive; here it is bytes under a digest.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from raysweep.errors import bad_input
from raysweep.record.place import RunPath, store_at
from raysweep.record.store import Store

FOLDER = "kept-tasks"
SUFFIX = ".tar.gz"


def keep_task(store: Store, digest: str, archive: bytes) -> None:
    """Keep one archive; one that is there under that digest stays as it is."""
    with contextlib.suppress(FileExistsError):
        store.put_new(_name(digest), archive)


def kept_digests(store: Store) -> frozenset[str]:
    """Digests of the tasks that are kept; empty in a run of an older version, and in one of made-up tasks."""
    return frozenset(f"sha256:{name.removesuffix(SUFFIX)}" for name in store.names(FOLDER) if name.endswith(SUFFIX))


@dataclass(frozen=True, slots=True)
class KeptTasks:
    """Where a run's tasks are read: picklable, and usable wherever its store can be reached.

    run: the run directory, absolute where it is local. digests: what it holds.
    """

    run: RunPath
    digests: frozenset[str]

    def __call__(self, digest: str) -> bytes:
        """The archive of one task; InputError where it is gone."""
        store = store_at(self.run)
        try:
            return store.get(_name(digest))
        except FileNotFoundError as error:
            raise bad_input(
                "the run's own copy of a task is gone",
                "restore the file from a backup, or start a new run directory",
                file=f"{store.where}/{_name(digest)}",
            ) from error


def _name(digest: str) -> str:
    return f"{FOLDER}/{digest.removeprefix('sha256:')}{SUFFIX}"
