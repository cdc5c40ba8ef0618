"""The bounds of a cgroup: written, and read back as what the kernel really took.

Requests become relative shares and reclaim protection, which guarantee nothing; limits are hard.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from raysweep.sandbox.cgroup.files import ControlFiles
from raysweep.sandbox.cgroup.group import Group
from raysweep.units import Resources

PERIOD_US = 100_000  # the kernel's and Kubernetes' default
LONG_PERIOD_US = 1_000_000  # the kernel refuses quotas under 1 ms: under 10 millicores the period must be longer
V1_NO_LIMIT = 1 << 62  # v1 prints "no limit" as LONG_MAX rounded down to pages


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hard limits (None is none) and requests of one cgroup. Bytes, millicores, tasks."""

    memory: int | None = None
    cpu: int | None = None
    pids: int | None = None
    request_memory: int | None = None
    request_cpu: int | None = None


def quota(millicores: int) -> tuple[int, int]:
    """(quota, period) in microseconds for a cpu limit; at least 1 millicore."""
    millicores = max(1, millicores)
    period = PERIOD_US if millicores >= 10 else LONG_PERIOD_US
    return millicores * period // 1000, period


def shares(millicores: int) -> int:
    """cpu.shares of a request, as the kubelet computes them."""
    return max(2, min(262144, millicores * 1024 // 1000))


def weight(millicores: int) -> int:
    """cpu.weight of a request, as the kubelet computes it from shares."""
    return 1 + (shares(millicores) - 2) * 9999 // 262142


def apply_bounds(group: Group, bounds: Bounds, *, swap: bool) -> None:
    """Write `bounds`; OSError when the kernel refuses one. `swap`: the machine has swap, so it must be bounded too.

    On v1 memsw stays unset where there is no swap: with it the full cgroup's failcnt would stay 0, and failcnt is how
    a full ancestor shows.
    """
    (_apply_v1 if group.version == 1 else _apply_v2)(group, bounds, swap=swap)


def _apply_v1(group: Group, bounds: Bounds, *, swap: bool) -> None:
    with contextlib.suppress(OSError):  # always on in current kernels, which refuse or ignore the write
        group.write("memory", "memory.use_hierarchy", 1)
    if bounds.memory is not None:
        group.write("memory", "memory.limit_in_bytes", bounds.memory)
        if swap:
            group.write("memory", "memory.memsw.limit_in_bytes", bounds.memory)
    if bounds.request_memory is not None:
        with contextlib.suppress(OSError):  # a hint only, and absent on real-time kernels
            group.write("memory", "memory.soft_limit_in_bytes", bounds.request_memory)
    if bounds.cpu is not None:
        amount, period = quota(bounds.cpu)
        group.write("cpu", "cpu.cfs_period_us", period)
        group.write("cpu", "cpu.cfs_quota_us", amount)
    if bounds.request_cpu is not None:
        group.write("cpu", "cpu.shares", shares(bounds.request_cpu))
    if bounds.pids is not None:
        group.write("pids", "pids.max", bounds.pids)


def _apply_v2(group: Group, bounds: Bounds, *, swap: bool) -> None:
    if bounds.memory is not None:
        group.write("memory", "memory.max", bounds.memory)
        if swap:
            group.write("memory", "memory.swap.max", 0)
    if bounds.request_memory is not None:
        group.write("memory", "memory.low", bounds.request_memory)
    if bounds.cpu is not None:
        amount, period = quota(bounds.cpu)
        group.write("cpu", "cpu.max", f"{amount} {period}")
    if bounds.request_cpu is not None:
        group.write("cpu", "cpu.weight", weight(bounds.request_cpu))
    if bounds.pids is not None:
        group.write("pids", "pids.max", bounds.pids)


def read_limit(group: ControlFiles) -> Resources:
    """Hard limits as the kernel holds them now: cpu in millicores, memory in bytes; None is no limit."""
    if group.version == 1:
        memory = group.read_int("memory", "memory.limit_in_bytes")
        amount = group.read_int("cpu", "cpu.cfs_quota_us")
        period = group.read_int("cpu", "cpu.cfs_period_us") or PERIOD_US
        memory = memory if memory is not None and memory < V1_NO_LIMIT else None
        return Resources(cpu=amount * 1000 // period if amount and amount > 0 else None, memory=memory)
    words = (group.read("cpu", "cpu.max") or "").split()
    cpu = int(words[0]) * 1000 // int(words[1]) if len(words) == 2 and words[0].isdigit() else None
    return Resources(cpu=cpu, memory=group.read_int("memory", "memory.max"))


def read_request(group: ControlFiles, asked: Resources) -> Resources:
    """Requests as the kernel holds them now: the asked value where it stands unchanged, else the nearest meaning.

    Shares and weights are coarser than millicores, so an unchanged one is recognised by its raw value.
    """
    names = ("cpu.shares", "memory.soft_limit_in_bytes") if group.version == 1 else ("cpu.weight", "memory.low")
    raw_cpu, memory = group.read_int("cpu", names[0]), group.read_int("memory", names[1])
    convert = shares if group.version == 1 else weight
    if asked.cpu is None or raw_cpu is None or raw_cpu == convert(asked.cpu):
        cpu = asked.cpu
    elif group.version == 1:
        cpu = raw_cpu * 1000 // 1024
    else:
        cpu = (2 + (raw_cpu - 1) * 262142 // 9999) * 1000 // 1024
    return Resources(cpu=cpu, memory=memory if asked.memory is not None else None)
