"""One look at the counters of a task's cgroups: running totals and present values, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raysweep.sandbox.cgroup.files import ControlFiles
from raysweep.sandbox.cgroup.group import Group


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since the cgroup was made, and what it holds now; None where the kernel does not tell.

    oom_kills, pids_denied: over the task's cgroup and its phases. own_ooms: `oom` of the limit's own cgroup (v2).
    own_fails: its failcnt (v1), where that counts: it stays 0 under a memsw limit as low as the limit itself.
    ancestor: events of a full ancestor (v1 failcnt; v2 `oom` and `max`). task_peak: high-water mark of the limit's
    cgroup; leaf_peak, leaf_pids_peak: of the phase under way. Memory is bytes, cpu and throttling microseconds.
    """

    oom_kills: int | None = None
    own_ooms: int | None = None
    own_fails: int | None = None
    ancestor: int | None = None
    task_peak: int | None = None
    leaf_peak: int | None = None
    leaf_pids_peak: int | None = None
    cpu_usec: int | None = None
    throttled_us: int | None = None
    nr_throttled: int | None = None
    pids_denied: int | None = None
    memory: int | None = None
    unreclaimable: int | None = None
    anon: int | None = None
    pids: int | None = None


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def read_task(
    task: ControlFiles,
    leaves: Sequence[ControlFiles] = (),
    leaf: ControlFiles | None = None,
    ancestors: Sequence[ControlFiles] = (),
) -> Reading:
    """Read `task` (which carries the limits), its phases `leaves`, the phase under way `leaf`, and full ancestors.

    A container is one cgroup without phases, seen without its ancestors: no leaves, no leaf.
    """
    if task.version == 1:
        return _read_v1(task, leaves, leaf, ancestors)
    return _read_v2(task, leaves, leaf, ancestors)


def _read_v1(
    task: ControlFiles, leaves: Sequence[ControlFiles], leaf: ControlFiles | None, ancestors: Sequence[ControlFiles]
) -> Reading:
    stat = task.read_map("memory", "memory.stat")
    cpu = task.read_map("cpu", "cpu.stat")
    used = task.read_int("memory", "memory.usage_in_bytes")
    cpu_ns = task.read_int("cpuacct", "cpuacct.usage")
    throttled = cpu.get("throttled_time")
    # v1 counts a kill in the victim's own cgroup only, so the phases are added up.
    kills = _total(g.read_map("memory", "memory.oom_control").get("oom_kill") for g in (task, *leaves))
    return Reading(
        oom_kills=kills,
        own_fails=_own_fails(task),
        ancestor=_total(g.read_int("memory", "memory.failcnt") for g in ancestors),
        task_peak=task.read_int("memory", "memory.max_usage_in_bytes"),
        leaf_peak=leaf.read_int("memory", "memory.max_usage_in_bytes") if leaf else None,
        leaf_pids_peak=leaf.read_int("pids", "pids.peak") if leaf else None,
        cpu_usec=None if cpu_ns is None else cpu_ns // 1000,
        throttled_us=None if throttled is None else throttled // 1000,
        nr_throttled=cpu.get("nr_throttled"),
        pids_denied=_pids_denied(task, leaves),
        memory=used,
        unreclaimable=_less(used, stat, "total_inactive_file", "total_active_file"),
        anon=stat["total_rss"] + stat.get("total_shmem", 0) if "total_rss" in stat else None,
        pids=task.read_int("pids", "pids.current"),
    )


def _own_fails(task: ControlFiles) -> int | None:
    limit, with_swap = (task.read_int("memory", f"memory.{name}limit_in_bytes") for name in ("", "memsw."))
    silent = limit is not None and with_swap is not None and with_swap <= limit
    return None if silent else task.read_int("memory", "memory.failcnt")


def _read_v2(
    task: ControlFiles, leaves: Sequence[ControlFiles], leaf: ControlFiles | None, ancestors: Sequence[ControlFiles]
) -> Reading:
    stat = task.read_map("memory", "memory.stat")
    cpu = task.read_map("cpu", "cpu.stat")
    used = task.read_int("memory", "memory.current")
    full = [g.read_map("memory", "memory.events.local") for g in ancestors]
    return Reading(
        oom_kills=task.read_map("memory", "memory.events").get("oom_kill"),
        own_ooms=task.read_map("memory", "memory.events.local").get("oom"),
        ancestor=_total(events.get(key) for events in full for key in ("oom", "max")),
        task_peak=task.read_int("memory", "memory.peak"),
        leaf_peak=leaf.read_int("memory", "memory.peak") if leaf else None,
        leaf_pids_peak=leaf.read_int("pids", "pids.peak") if leaf else None,
        cpu_usec=cpu.get("usage_usec"),
        throttled_us=cpu.get("throttled_usec"),
        nr_throttled=cpu.get("nr_throttled"),
        pids_denied=_pids_denied(task, leaves),
        memory=used,
        unreclaimable=_less(used, stat, "inactive_file", "active_file", "slab_reclaimable"),
        anon=stat["anon"] + stat.get("shmem", 0) if "anon" in stat else None,
        pids=task.read_int("pids", "pids.current"),
    )


def _less(used: int | None, stat: dict[str, int], *reclaimable: str) -> int | None:
    if used is None or not stat:
        return None
    return max(0, used - sum(stat.get(key, 0) for key in reclaimable))


def _pids_denied(task: ControlFiles, leaves: Sequence[ControlFiles]) -> int | None:
    """Refused forks: old kernels count them in the forking cgroup, new ones on v2 where the limit is; never in both."""
    return _total(group.read_map("pids", "pids.events").get("max") for group in (task, *leaves))


def reset_peak(task: Group) -> None:
    """Start the high-water mark of the limit's cgroup anew (v1 can; on v2 the phases' own marks must do)."""
    if task.version == 1:
        task.write("memory", "memory.max_usage_in_bytes", 0)
