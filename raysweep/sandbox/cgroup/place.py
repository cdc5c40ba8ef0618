"""Where our cgroups may live: below our own cgroup, made ready to hold children with controllers.

v1: below this process's own path in every hierarchy. v2: a cgroup with processes cannot give controllers to its
children, so in a delegated scope its processes move to a leaf first; root may use the top of the hierarchy instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from raysweep.errors import UnsuitableError
from raysweep.sandbox.cgroup.group import Group
from raysweep.sandbox.cgroup.mounts import Layout, current_layout

RUNNER_LEAF = "raysweep-runner"
PARENT_VARIABLE = "RAYSWEEP_CGROUP_PARENT"
REMEDY = (
    "run as root, or under `systemd-run --user --scope -p Delegate=yes`, or hand over a cgroup (chown) and name it "
    f"in {PARENT_VARIABLE}"
)


def find_parent(cgroup_parent: str | None) -> Group:
    """The cgroup below which ours go, existing and able to carry memory, cpu and pids bounds.

    cgroup_parent: a path inside the hierarchy (as in /proc/self/cgroup) that was handed over to us; None looks at our
    own. UnsuitableError when there is none that can.
    """
    layout = current_layout()
    if layout is None or layout.missing:
        missing = "cgroups" if layout is None else f"the cgroup controllers {', '.join(layout.missing)}"
        raise UnsuitableError(f"{missing} not available here", REMEDY)
    parents = [_v1_parent(layout, cgroup_parent)] if layout.version == 1 else _v2_parents(layout, cgroup_parent)
    problems = []
    for parent in parents:
        problem = _try(parent)
        if problem is None:
            return parent
        problems.append(problem)
    raise UnsuitableError("; ".join(problems), _delegation_remedy(layout))


def _delegation_remedy(layout: Layout) -> str:
    if layout.version == 2 and os.geteuid() != 0:
        return REMEDY + (
            "; where systemd does not delegate the cpu controller: `Delegate=cpu cpuset io memory pids` under "
            "[Service] in /etc/systemd/system/user@.service.d/delegate.conf"
        )
    return REMEDY


def _v1_parent(layout: Layout, cgroup_parent: str | None) -> Group:
    own = {name: h.own if cgroup_parent is None else cgroup_parent for name, h in layout.by_controller.items()}
    return Group(1, {name: h.mount / own[name].strip("/") for name, h in layout.by_controller.items()})


def _v2_parents(layout: Layout, cgroup_parent: str | None) -> list[Group]:
    """Candidates in order: the named one; else our own, and the top of the hierarchy for root."""
    hierarchy = layout.by_controller["memory"]
    if cgroup_parent is not None:
        return [_v2_group(hierarchy.mount / cgroup_parent.strip("/"))]
    own = hierarchy.mount / hierarchy.own
    if own.name == RUNNER_LEAF:  # a child of a process that moved there before
        own = own.parent
    top = hierarchy.mount
    if os.geteuid() == 0 and own != top and not (top / "cgroup.type").exists():
        return [_v2_group(top), _v2_group(own)]  # the real root may hold processes: nothing has to move
    return [_v2_group(own)]


def _v2_group(folder: Path) -> Group:
    return Group(2, dict.fromkeys(("memory", "cpu", "pids"), folder))


def _try(parent: Group) -> str | None:
    """Make `parent` ready and prove it by a bounded child cgroup; what is wrong with it, or None."""
    probe = parent.child(f"probe-raysweep-{os.getpid()}")  # no name of a run: a clean-up elsewhere would take it
    try:
        if parent.version == 2:
            _move_processes_away(parent)
            parent.delegate()
        probe.create()
        for controller, file in (("memory", _memory_file(parent)), ("cpu", _cpu_file(parent)), ("pids", "pids.max")):
            if not os.access(probe.dirs[controller] / file, os.W_OK):
                return f"{probe.dirs[controller] / file} cannot be written"
    except OSError as error:
        return f"cgroup {parent.folders[0]} cannot be used ({error.strerror or error})"
    finally:
        with contextlib.suppress(OSError):
            probe.remove()
    return None


def _memory_file(group: Group) -> str:
    return "memory.limit_in_bytes" if group.version == 1 else "memory.max"


def _cpu_file(group: Group) -> str:
    return "cpu.cfs_quota_us" if group.version == 1 else "cpu.max"


def _move_processes_away(parent: Group) -> None:
    """Move the processes of a v2 cgroup other than the real root to a leaf below it (they may fork meanwhile)."""
    folder = parent.folders[0]
    if not (folder / "cgroup.type").exists():
        return
    for _ in range(10):
        pids = parent.pids() - {0}
        if not pids:
            return
        leaf = parent.child(RUNNER_LEAF)
        leaf.create()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (leaf.folders[0] / "cgroup.procs").write_text(str(pid))


def memory_ancestors(parent: Group) -> list[Group]:
    """`parent` and the cgroups above it that this process can see, for counters of a full ancestor."""
    folder, groups = parent.dirs["memory"], []
    while (folder / "cgroup.procs").exists():
        groups.append(Group(parent.version, {"memory": folder}))
        folder = folder.parent
    return groups


def available_memory(meminfo: str, ancestors: Sequence[Group]) -> int:
    """Bytes that can be used now: MemAvailable, or less where a cgroup above us has less room.

    meminfo: the text of /proc/meminfo.
    """
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    room = [int(fields["MemAvailable"].split()[0]) * 1024]
    for group in ancestors:
        v1 = group.version == 1
        limit = group.read_int("memory", "memory.limit_in_bytes" if v1 else "memory.max")
        used = group.read_int("memory", "memory.usage_in_bytes" if v1 else "memory.current")
        if limit is not None and used is not None:
            stat = group.read_map("memory", "memory.stat")
            prefix = "total_" if v1 else ""
            cache = stat.get(prefix + "inactive_file", 0) + stat.get(prefix + "active_file", 0)
            room.append(limit - max(0, used - cache))
    return min(room)


def swap_bytes(meminfo: str) -> int:
    """Swap of the machine in bytes, from the text of /proc/meminfo."""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(fields.get("SwapTotal", "0 kB").split()[0]) * 1024
