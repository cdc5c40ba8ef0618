"""Cells and their results: one small JSON file per cell, written atomically, so that a killed run goes on where it was.

Belongs here: names, files, seeds. Does not: what a cell simulates (the modules of the groups).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import scipy

from raysweep import seeds

SEED = 20260205
Params: TypeAlias = Mapping[str, Any]
Score: TypeAlias = dict[str, Any]
"""What one method did over the studies of one cell: counts and means, plain numbers."""
Run: TypeAlias = Callable[[Params, int, np.random.SeedSequence], dict[str, Score]]


@dataclass(frozen=True)
class Cell:
    """One truth, simulated `studies` times; run gives a Score for every method."""

    group: str
    params: Params
    studies: int
    run: Run

    @property
    def name(self) -> str:
        """Stable file name: the parameters."""
        return " ".join(f"{k}={v}" for k, v in self.params.items())

    def path(self, out: Path) -> Path:
        """Where the result stands."""
        return out / self.group / f"{self.name.replace(' ', '_').replace('/', '-')}.json"

    def result(self, out: Path) -> dict[str, Any] | None:
        """The stored result, if it is of these parameters and of as many studies."""
        try:
            found: dict[str, Any] = json.loads(self.path(out).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found if found.get("params") == dict(self.params) and found.get("studies") == self.studies else None

    def work(self, out: Path) -> float:
        """Simulate and store; seconds taken. The same numbers whatever else runs, in whatever order."""
        begin = time.perf_counter()
        methods = self.run(self.params, self.studies, seeds.sequence(SEED, "coverage", self.group, self.name))
        seconds = time.perf_counter() - begin
        kept = {"group": self.group, "params": dict(self.params), "studies": self.studies, "methods": methods}
        kept |= {"seconds": round(seconds, 1), "versions": {"numpy": np.__version__, "scipy": scipy.__version__}}
        write_atomically(self.path(out), json.dumps(kept, indent=1))
        return seconds


@dataclass(frozen=True)
class Group:
    """Cells that share a question. cells: those of a form ("short" or "full"); table: results to Markdown.

    failed: the cells, in words, whose target is missed beyond Monte Carlo error.
    """

    name: str
    cells: Callable[[str], list[Cell]]
    table: Callable[[list[dict[str, Any]]], str]
    failed: Callable[[list[dict[str, Any]]], list[str]]


def write_atomically(path: Path, text: str) -> None:
    """Either the old file or the whole new one, also when killed in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


CHUNK = 500
"""Studies drawn at once: 500 x 10,000 replicates x 8 B = 40 MB."""


def chunks(studies: int, sequence: np.random.SeedSequence) -> list[tuple[int, np.random.Generator]]:
    """(studies, generator) of each chunk."""
    sizes = [min(CHUNK, studies - start) for start in range(0, studies, CHUNK)]
    return [(n, np.random.default_rng(c)) for n, c in zip(sizes, sequence.spawn(len(sizes)), strict=True)]
