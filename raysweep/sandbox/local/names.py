"""Names of a sandbox's cgroup and folder; they carry their owner, so that a stranger can tell leftovers from work.

A run's cgroup is `raysweep-<run>`, a sandbox's is `<name>@<pid>-<start time of that process>` below it, and its folder
has the same two names below the scratch folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RUN_PREFIX = "raysweep-"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def safe(text: str) -> str:
    """`text` as a file name without "@", slashes or blanks."""
    return _UNSAFE.sub("_", text)[:120] or "_"


def run_name(run_id: str) -> str:
    """Name of a run's cgroup and folder."""
    return RUN_PREFIX + safe(run_id)


@dataclass(frozen=True, slots=True)
class Home:
    """The parsed name of one sandbox's cgroup or folder."""

    name: str
    owner: str

    def __str__(self) -> str:
        return f"{self.name}@{self.owner}"


def parse_home(text: str) -> Home | None:
    """The parts of a sandbox's cgroup or folder name; None for any other name."""
    name, at, owner = text.rpartition("@")
    return Home(name, owner) if at and re.fullmatch(r"\d+-\d+", owner) else None
