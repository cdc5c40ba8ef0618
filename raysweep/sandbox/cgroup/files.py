"""The control files of one cgroup, wherever they are read: a folder here, or a container that sent their texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass


class ControlFiles(ABC):
    """`version`: 1 or 2; readers of single files on top of `read`."""

    version: int

    @abstractmethod
    def read(self, controller: str, file: str) -> str | None:
        """Text of a control file; None when this kernel or this cgroup does not have it."""

    def read_int(self, controller: str, file: str) -> int | None:
        """A control file that holds one number; None when absent, "max" or not a number."""
        text = (self.read(controller, file) or "").strip()
        return int(text) if text.lstrip("-").isdigit() else None

    def read_map(self, controller: str, file: str) -> dict[str, int]:
        """A control file of "key number" lines; empty when absent."""
        pairs = (line.split() for line in (self.read(controller, file) or "").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


@dataclass(frozen=True)
class Texts(ControlFiles):
    """A snapshot: text by file name (no two controllers share one)."""

    version: int
    texts: Mapping[str, str]

    def read(self, controller: str, file: str) -> str | None:  # noqa: ARG002 - a name is enough here
        """Text of a control file."""
        return self.texts.get(file)
