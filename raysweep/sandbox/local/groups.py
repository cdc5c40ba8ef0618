"""The cgroups of one sandbox: a home with the task's (which carries the limits, one leaf per phase) and the keeper's.

The keeper holds bubblewrap and the supervisor, so that they are never charged to the task; both count in the run's
cgroup, which keeps all sandboxes together from taking the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raysweep.sandbox.cgroup.bounds import Bounds, apply_bounds
from raysweep.sandbox.cgroup.group import Group
from raysweep.sandbox.cgroup.reading import Reading, read_task
from raysweep.vocabulary import Phase

TRIES = 100


@dataclass(frozen=True, slots=True)
class SandboxGroups:
    """Handles; `ancestors` are the run's cgroup and those above it that we can see."""

    run: Group
    home: Group
    ancestors: tuple[Group, ...]

    @property
    def task(self) -> Group:
        """Carries the arm's limits."""
        return self.home.child("task")

    @property
    def keeper(self) -> Group:
        """Holds the supervisor."""
        return self.home.child("keeper")

    @property
    def suffix(self) -> str:
        """How the kernel log's paths of the task's cgroup end."""
        return f"/{self.run.name}/{self.home.name}/task"

    def leaf(self, phase: str) -> Group:
        """Where the processes of a phase are."""
        return self.task.child(phase)

    def read(self, phase: str) -> Reading:
        """Counters now, with the peaks of `phase`."""
        return read_task(self.task, [self.leaf(p) for p in Phase], self.leaf(phase), self.ancestors)


@contextlib.contextmanager
def locked(scratch: Path) -> Iterator[None]:
    """Hold the lock under which run cgroups are made and removed, across all processes of this scratch folder."""
    fd = os.open(scratch / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def create_groups(groups: SandboxGroups, scratch: Path, *, bounds: Bounds, run_memory: int, swap: bool) -> None:
    """Make everything, the run's cgroup too where it is not there yet; OSError when the kernel refuses."""
    with locked(scratch):
        for left in reversed(range(TRIES)):
            try:
                if groups.run.create():
                    apply_bounds(groups.run, Bounds(memory=run_memory), swap=swap)
                groups.run.delegate()
                groups.home.create()
                break
            except OSError as error:  # a clean-up with another scratch folder, and so another lock, took the empty one
                if not left or error.errno not in {errno.ENOENT, errno.ENODEV}:
                    raise
    groups.home.delegate()
    groups.keeper.create()
    groups.task.create()
    apply_bounds(groups.task, bounds, swap=swap)
    groups.task.delegate()
    for phase in Phase:
        groups.leaf(phase).create()


def remove_groups(run: Group, home: Group, scratch: Path) -> None:
    """Kill what is left in a sandbox, remove its cgroups, and the run's when this was its last one."""
    if home.exists():
        home.kill()
        home.remove()
    with locked(scratch):
        run.remove_if_empty()
