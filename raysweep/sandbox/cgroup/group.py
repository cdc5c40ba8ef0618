"""One cgroup as a handle: on v1 a folder in each controller's hierarchy, on v2 a single folder."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raysweep.sandbox.cgroup.files import ControlFiles
from raysweep.sandbox.cgroup.mounts import V2_CONTROLLERS

# A cgroup stays busy for some milliseconds after its last process was killed, longer where that one still writes its
# disk image to a slow disk; far beyond that something is wrong.
EMPTY_WAIT_S = 60.0


@dataclass(frozen=True)
class Group(ControlFiles):
    """`dirs`: folder by controller name; on v2 every controller has the same folder."""

    version: int
    dirs: Mapping[str, Path]

    @property
    def folders(self) -> tuple[Path, ...]:
        """The distinct folders of this cgroup."""
        return tuple(dict.fromkeys(self.dirs.values()))

    @property
    def name(self) -> str:
        """Last part of its path."""
        return self.folders[0].name

    def child(self, name: str) -> Group:
        """Handle of the cgroup `name` below this one, whether it exists or not."""
        return Group(self.version, {controller: folder / name for controller, folder in self.dirs.items()})

    def children(self) -> set[str]:
        """Names of the cgroups below this one, in whichever hierarchy."""
        names: set[str] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                names |= {entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)}
        return names

    def create(self) -> bool:
        """Make it where it is missing; True when some part of it was made by this call."""
        made = False
        for folder in self.folders:
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                made = True
        return made

    def exists(self) -> bool:
        """Whether any part of it is there."""
        return any(folder.exists() for folder in self.folders)

    def delegate(self) -> None:
        """Let its children have controllers of their own (v2; nothing to do on v1). OSError when not allowed."""
        if self.version == 2:
            control = self.folders[0] / "cgroup.subtree_control"
            missing = set(V2_CONTROLLERS) - set(control.read_text().split())
            if missing:
                control.write_text(" ".join(f"+{name}" for name in sorted(missing)))

    def read(self, controller: str, file: str) -> str | None:
        """Text of a control file; None when this kernel or this cgroup does not have it."""
        try:
            return (self.dirs[controller] / file).read_text()
        except (OSError, KeyError):
            return None

    def write(self, controller: str, file: str, value: str | int) -> None:
        """Write a control file; OSError when the kernel refuses."""
        (self.dirs[controller] / file).write_text(str(value))

    def procs_files(self) -> list[Path]:
        """The files by which a process joins this cgroup, all of them."""
        return [folder / "cgroup.procs" for folder in self.folders]

    def pids(self) -> set[int]:
        """Processes in it (not in its children)."""
        pids: set[int] = set()
        for path in self.procs_files():
            with contextlib.suppress(OSError):
                pids |= {int(word) for word in path.read_text().split()}
        return pids

    def walk(self) -> Iterable[Group]:
        """Itself and everything below, children first."""
        for name in self.children():
            yield from self.child(name).walk()
        yield self

    def kill(self) -> None:
        """Kill every process in it and below, and wait until none is left; TimeoutError when some do not die."""
        deadline = time.monotonic() + EMPTY_WAIT_S
        pause = 0.001
        while True:
            with contextlib.suppress(OSError):
                if self.version == 2:
                    (self.folders[0] / "cgroup.kill").write_text("1")
            alive = {pid for group in self.walk() for pid in group.pids()}
            if not alive:
                return
            for pid in alive - {0, os.getpid()}:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(alive)} in {self.folders[0]} do not die")
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def remove(self) -> None:
        """Remove it and everything below; the processes must be gone. Absent parts are fine."""
        for group in list(self.walk()):
            for folder in group.folders:
                _rmdir(folder)

    def remove_if_empty(self) -> bool:
        """Remove it when it has neither children nor processes; False when it is in use."""
        if self.children() or self.pids():
            return False
        try:
            for folder in self.folders:
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()
        except OSError:
            return False
        return True


def _rmdir(folder: Path) -> None:
    """Rmdir that waits out the moment in which a dying process still counts."""
    deadline = time.monotonic() + EMPTY_WAIT_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.002)
        else:
            return
