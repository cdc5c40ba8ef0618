"""Which cgroup hierarchies this process sees, parsed from /proc/self/mountinfo and /proc/self/cgroup (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# cpuacct is a controller of its own on v1 only; on v2 cpu.stat has its numbers.
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids")
V2_CONTROLLERS = ("memory", "cpu", "pids")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy: its version, v1 controllers, mount point, and our own path below the mount point."""

    version: int
    controllers: frozenset[str]
    mount: Path
    own: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The hierarchies that carry memory, cpu and pids: on v1 one per controller (some shared), on v2 a single one."""

    version: int
    by_controller: Mapping[str, Hierarchy]

    @property
    def missing(self) -> tuple[str, ...]:
        """Controllers that no mounted hierarchy offers."""
        wanted = V1_CONTROLLERS if self.version == 1 else V2_CONTROLLERS
        return tuple(name for name in wanted if name not in self.by_controller)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _own_paths(cgroup: str) -> dict[str, str]:
    """Path by controller ("" is v2) from the text of /proc/self/cgroup."""
    paths = {}
    for line in cgroup.splitlines():
        number, names, path = line.split(":", 2)
        for name in names.split(",") if number != "0" else [""]:
            paths[name] = path
    return paths


def _below(root: str, path: str) -> str:
    """`path` relative to what is mounted (`root`): a container may see only its own part of the hierarchy."""
    if root != "/" and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return path.strip("/")


def parse_hierarchies(mountinfo: str, cgroup: str) -> list[Hierarchy]:
    """Hierarchies in the texts of /proc/self/mountinfo and /proc/self/cgroup; a later mount at one place wins."""
    own = _own_paths(cgroup)
    hierarchies: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        root, mount = _unescape(fields[3]), _unescape(fields[4])
        names = frozenset(kind[2].split(",")) & own.keys() if kind[0] == "cgroup" else frozenset({""})
        path = next((own[name] for name in sorted(names) if name in own), "/")
        version = 1 if kind[0] == "cgroup" else 2
        hierarchies[mount] = Hierarchy(version, names - {""}, Path(mount), _below(root, path))
    return list(hierarchies.values())


def choose_layout(hierarchies: list[Hierarchy], v2_controllers: frozenset[str]) -> Layout | None:
    """v1 where memory is a v1 controller (also on hybrid systems), else v2; None where neither is mounted.

    v2_controllers: the names in cgroup.controllers of the v2 mount point.
    """
    v1 = {name: h for h in hierarchies if h.version == 1 for name in h.controllers if name in V1_CONTROLLERS}
    if "memory" in v1:
        return Layout(1, v1)
    v2 = next((h for h in hierarchies if h.version == 2), None)
    if v2 is None:
        return Layout(1, v1) if v1 else None
    return Layout(2, {name: v2 for name in V2_CONTROLLERS if name in v2_controllers})


def current_layout() -> Layout | None:
    """The layout this process sees now."""
    proc = Path("/proc/self")
    hierarchies = parse_hierarchies((proc / "mountinfo").read_text(), (proc / "cgroup").read_text())
    offered: frozenset[str] = frozenset()
    for hierarchy in hierarchies:
        if hierarchy.version == 2:
            offered = frozenset((hierarchy.mount / "cgroup.controllers").read_text().split())
    return choose_layout(hierarchies, offered)
