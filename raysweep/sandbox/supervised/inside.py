"""What a container's own files say of it: bounds, swap, node facts; compared with what the platform admitted (pure)."""

from __future__ import annotations

from dataclasses import replace

from raysweep.sandbox.cgroup.bounds import read_limit
from raysweep.sandbox.cgroup.files import Texts
from raysweep.sandbox.cgroup.place import swap_bytes
from raysweep.sandbox.supervised.client import Reply
from raysweep.sandbox.supervised.container import Facts
from raysweep.units import Resources

SLACK = {"cpu": 1, "memory": 4095, "storage": 0}
"""Rounding of the kernel: quotas to microseconds, memory to pages."""
_LIMIT_FILES: dict[int, dict[str, tuple[str, ...]]] = {
    0: {"memory": ("",), "cpu": ("",)},
    1: {"memory": ("memory.limit_in_bytes",), "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us")},
    2: {"memory": ("memory.max",), "cpu": ("cpu.max",)},
}


def parse_counters(reply: Reply, version: int) -> Texts:
    """The texts of a `counters` reply by file name."""
    texts, start = {}, 0
    for name, length in zip(reply.fields[::2], reply.fields[1::2], strict=True):
        texts[name] = reply.body[start : start + int(length)].decode(errors="replace")
        start += int(length)
    return Texts(version, texts)


def limit_inside(texts: Texts, reported: Resources) -> Resources:
    """Hard limits as the kernel holds them; as the platform `told` them where there is no file to read."""
    read = read_limit(texts)
    for name, files in _LIMIT_FILES[texts.version].items():
        if any(file not in texts.texts for file in files):
            read = replace(read, **{name: getattr(reported, name)})
    return replace(read, storage=reported.storage)


def difference(stated: Resources, actual: Resources) -> str | None:
    """In which bound two sets differ by more than rounding; None when in none."""
    for name, slack in SLACK.items():
        want, have = getattr(stated, name), getattr(actual, name)
        if (want is None) != (have is None) or (want is not None and abs(want - have) > slack):
            return f"{name}: {want} stated, {have} measured"
    return None


def swap_beside(texts: Texts) -> bool:
    """Whether the machine has swap that a finite memory limit does not keep the container from."""
    if not swap_bytes(texts.texts.get("meminfo", "")):
        return False
    if texts.version == 2:
        return texts.read_int("memory", "memory.max") is not None and texts.read_int("memory", "memory.swap.max") != 0
    limit, both = (texts.read_int("memory", f"memory.{name}limit_in_bytes") for name in ("", "memsw."))
    finite = read_limit(texts).memory is not None
    return finite and (both is None or limit is None or both > limit)


def facts_inside(texts: Texts) -> Facts:
    """Facts of the node and of the container's place on it."""
    facts: dict[str, str | int | float | bool | None] = {"cgroup": texts.version or None}
    group = texts.read_int("memory", "memory.oom.group")
    if texts.version:
        facts["oom"] = "group" if group else "process"
    for file in ("cpu.shares", "cpu.weight"):
        value = texts.read_int("cpu", file)
        if value is not None:
            facts[file.replace(".", "_")] = value
    facts["swap"] = swap_bytes(texts.texts.get("meminfo", ""))
    return facts


def reserved_memory(texts: Texts, node: Facts) -> int:
    """Bytes of the machine that its pods together may never use, by the node's `allocatable_memory`; 0 unknown."""
    allocatable = node.get("allocatable_memory")
    words = next((w for w in texts.texts.get("meminfo", "").splitlines() if w.startswith("MemTotal:")), "").split()
    if not isinstance(allocatable, int) or len(words) < 2:
        return 0
    return max(0, int(words[1]) * 1024 - allocatable)
