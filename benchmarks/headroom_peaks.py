"""Runs every task of the bundled set headroom in local sandboxes and prints docs/headroom.md's table of peaks.

    python benchmarks/headroom_peaks.py [--markdown] [TASK ...]

Each task: oracle, lean, lean's mistake, heavy mid, heavy high, at the bands 1x, 3x and uncapped. Peak memory is the
kernel's high-water mark of the phase under no limit (page cache included), in MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from raysweep.agent import make_agent
from raysweep.agent.environment import prepare_environment
from raysweep.record.evidence import AgentFacts, CommandFacts, VerifierFacts
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import FinalFacts, SandboxSpec
from raysweep.tasks.load import load_tasks
from raysweep.tasks.model import Task
from raysweep.units import MIB, Resources
from raysweep.verifier import verify

RUN_ID = "headroom-peaks"
BANDS = {"1x": 1, "3x": 3, "uncapped": None}
# Variant: (agent, options, seed). Even seeds are mid, odd ones high; seed // 2 % 10 == 0 is lean's mistake.
VARIANTS: dict[str, tuple[str, dict[str, object], int]] = {
    "oracle": ("oracle", {}, 2),
    "lean": ("scripted", {"strategy": "lean"}, 2),
    "lean, careless": ("scripted", {"strategy": "lean"}, 0),
    "heavy, mid": ("scripted", {"strategy": "heavy"}, 2),
    "heavy, high": ("scripted", {"strategy": "heavy"}, 3),
}


@dataclass(frozen=True)
class Seen:
    """What one trial showed."""

    setup: CommandFacts | None
    agent: AgentFacts
    verifier: VerifierFacts
    end: FinalFacts
    seconds: float

    @property
    def outcome(self) -> str:
        """One word: pass, fail, time-out, or whose OOM kill it was ("child" where the reward is full all the same)."""
        command = self.agent.command
        if command is not None and command.timed_out:
            return "time-out"
        if command is not None and (command.signal == 9 or command.exit == 137):
            return "oom agent" if self.end.counters["agent"].oom_kills else "killed"
        if self.end.counters["verifier"].oom_kills:
            return "oom verifier"
        verdict = "pass" if self.verifier.reward == 1 else "fail"
        return f"{verdict}, oom child" if self.end.counters["agent"].oom_kills else verdict


def limit_of(task: Task, multiplier: int | None) -> Resources:
    """Bounds of a band; storage stays at its spec."""
    assert task.spec.cpu is not None
    assert task.spec.memory is not None
    if multiplier is None:
        return Resources(storage=task.spec.storage)
    return Resources(task.spec.cpu * multiplier, task.spec.memory * multiplier, task.spec.storage)


async def run_one(provider: LocalProvider, task: Task, variant: str, band: str) -> Seen:
    """One trial through the protocol, as an attempt runs it."""
    kind, options, seed = VARIANTS[variant]
    name = f"{task.name}-{variant}-{band}".replace(", ", "-")
    spec = SandboxSpec(run_id=RUN_ID, name=name, request=task.spec, limit=limit_of(task, BANDS[band]), seed=seed)
    sandbox = provider.open(spec)
    began = time.monotonic()
    try:
        await sandbox.start()
        setup = await prepare_environment(sandbox, task, task.build_timeout_s)
        await sandbox.begin_phase("agent")
        agent = await make_agent(kind, options).run(sandbox, task, seed=seed, timeout_s=task.agent_timeout_s)
        await sandbox.begin_phase("verifier")
        checked = await verify(sandbox, task)
    finally:
        end = await sandbox.stop()
    return Seen(None if setup is None else setup.facts, agent, checked, end, time.monotonic() - began)


def peak(seen: Seen, phase: str) -> float:
    """High-water mark of a phase in MiB."""
    return (seen.end.counters[phase].mem_peak_bytes or 0) / MIB


async def measure(names: list[str], *, markdown: bool) -> None:
    provider = LocalProvider()
    await provider.prepare(RUN_ID)
    header = ["task", "variant", *BANDS, "setup MiB", "agent MiB", "verifier MiB", "s"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header) if markdown else "\t".join(header))
    for task in load_tasks("bundled:headroom", include=names or ["*"], base=Path()):
        for variant in VARIANTS:
            seen = {band: await run_one(provider, task, variant, band) for band in BANDS}
            free = seen["uncapped"]
            cells = [task.name, variant, *(s.outcome for s in seen.values())]
            cells += [f"{peak(free, phase):.0f}" for phase in ("setup", "agent", "verifier")]
            cells.append(" / ".join(f"{s.seconds:.1f}" for s in seen.values()))
            print("| " + " | ".join(cells) + " |" if markdown else "\t".join(cells), flush=True)
    await provider.gc(RUN_ID)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("tasks", nargs="*")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.tasks, markdown=arguments.markdown))


if __name__ == "__main__":
    sys.exit(main())
