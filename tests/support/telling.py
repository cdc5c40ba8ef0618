"""A simulated sandbox that tells, in files, which process begins and ends which attempt, and when."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from raysweep.errors import UnsuitableError
from raysweep.sandbox.simulated import SimulatedProvider, Truth
from raysweep.sandbox.simulated.provider import SimulatedSandbox

TRUTH = Truth(seed=3, duration=(0.1, 0.3), task_sd=0.0)


class TellingSandbox(SimulatedSandbox):
    def __init__(self, spec, truth, faults, clock, folder):
        super().__init__(spec, truth, faults, clock)
        self._place = folder / f"{spec.name}.{os.getpid()}"

    async def start(self):
        self._tell("start")
        return await super().start()

    async def stop(self):
        self._tell("stop")
        return await super().stop()

    def _tell(self, step):
        with self._place.open("a") as file:
            file.write(json.dumps({"step": step, "t": time.monotonic()}) + "\n")


class TellingProvider(SimulatedProvider):
    def __init__(self, truth, folder):
        super().__init__(truth)
        self._folder = folder

    def open(self, spec):
        return TellingSandbox(spec, self._truth, self._faults, self._clock, self._folder)


@dataclass(frozen=True)
class Recipe:
    """A provider factory that travels to actors."""

    folder: Path
    truth: Truth = TRUTH

    def __call__(self, owner):
        return TellingProvider(self.truth, self.folder)


def told(folder: Path) -> list[tuple[str, int, dict[str, float]]]:
    """(attempt id, pid, moment by step) of every attempt that was begun; moments are of the machine's one clock."""
    found = []
    for path in sorted(folder.iterdir()):
        steps = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        name, pid = path.name.rsplit(".", 1)
        found.append((name, int(pid), {s["step"]: s["t"] for s in steps}))
    return found


def in_flight(folder: Path) -> dict[int, set[str]]:
    """Attempts begun and not ended, by the process that holds them."""
    held: dict[int, set[str]] = {}
    for name, pid, steps in told(folder):
        if "start" in steps and "stop" not in steps:
            held.setdefault(pid, set()).add(name)
    return held


def most_at_once(folder: Path) -> int:
    """Largest number of attempts that were begun and not ended at one moment."""
    moments = sorted(
        (t, step == "start") for _, _, steps in told(folder) for step, t in steps.items()
    )  # at one moment an end counts before a start
    level = most = 0
    for _, begins in moments:
        level += 1 if begins else -1
        most = max(most, level)
    return most


class UnsuitableProvider(SimulatedProvider):
    async def prepare(self, run_id):
        raise UnsuitableError("no cgroups here", "get some")


def unsuitable(owner):
    return UnsuitableProvider(TRUTH)


class BrokenError(Exception):
    """Cannot be unpickled, as many exceptions of libraries cannot."""

    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")


class BrokenProvider(SimulatedProvider):
    def open(self, spec):
        raise BrokenError("our own mistake", "a bug")


def broken(owner):
    return BrokenProvider(TRUTH)
