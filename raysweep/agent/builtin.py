"""The built-in agents: oracle runs the task's own solution, nop does nothing, scripted runs a bundled strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raysweep.agent.protocol import COMMAND_ID
from raysweep.record.evidence import AgentFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.tasks.folder import tar_folder
from raysweep.tasks.model import Task
from raysweep.tasks.scripts import start_problem

SEED_VARIABLE = "RAYSWEEP_SEED"


def script_argv(path: str) -> list[str]:
    """Run an uploaded script as itself: `exec` leaves no shell between the script and who watches its death."""
    return ["/bin/sh", "-c", 'chmod +x "$0" && exec "$0"', path]


def _unstartable(task: Task, name: str) -> str | None:
    """Why Linux cannot start the script `name` of a task that lies in a folder, or None."""
    path = Path(str(task.path)) / name
    reason = start_problem(path.read_bytes())
    return None if reason is None else f"{path}: {reason}"


@dataclass(frozen=True, slots=True)
class _Script:
    """A script of the task's: the folder it lies in there, where that goes in the sandbox, and its file name."""

    source: str
    dest: str
    name: str

    async def run(self, sandbox: Sandbox, task: Task, env: Mapping[str, str], timeout_s: float) -> AgentFacts:
        if task.path is not None:
            await sandbox.put(tar_folder(Path(task.path) / self.source), self.dest)
        argv = script_argv(f"{self.dest}/{self.name}")
        done = await sandbox.exec(COMMAND_ID, argv, timeout_s=timeout_s, env=env, cwd=task.workdir)
        return AgentFacts(command=done.facts, printed=None if done.facts.exit == 0 else done.ending())


@dataclass(frozen=True, slots=True)
class Oracle:
    """Uploads solution/ to /solution and runs solve.sh; a non-zero exit is recorded, not an error (Harbor)."""

    kind: str = "oracle"
    cooperative: bool = True
    trusted: bool = True

    def unfit(self, task: Task) -> str | None:
        """See Agent."""
        if task.path is None:
            return None
        script = Path(task.path) / "solution" / "solve.sh"
        if not script.is_file():
            return "it has no solution/solve.sh for the oracle"
        return _unstartable(task, "solution/solve.sh")

    async def run(self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float) -> AgentFacts:
        """See Agent; the seed plays no part."""
        del seed
        reason = self.unfit(task)
        if reason is not None:
            return AgentFacts(error=reason)
        script = _Script("solution", "/solution", "solve.sh")
        return await script.run(sandbox, task, task.solution_env, timeout_s)


@dataclass(frozen=True, slots=True)
class Nop:
    """Does nothing: what the verifier says of an untouched environment."""

    kind: str = "nop"
    cooperative: bool = True
    trusted: bool = True

    def unfit(self, task: Task) -> str | None:
        """See Agent; nop fits every task."""
        del task
        return None

    async def run(self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float) -> AgentFacts:
        """See Agent; no command is run."""
        del sandbox, task, seed, timeout_s
        return AgentFacts()


@dataclass(frozen=True, slots=True)
class Scripted:
    """Uploads strategies/<strategy>/ to /strategy and runs run.sh with the trial's seed in RAYSWEEP_SEED."""

    strategy: str
    kind: str = "scripted"
    cooperative: bool = True
    trusted: bool = True

    def unfit(self, task: Task) -> str | None:
        """See Agent."""
        if task.path is None:
            return None
        if self.strategy in task.strategies:
            return _unstartable(task, f"strategies/{self.strategy}/run.sh")
        there = ", ".join(task.strategies) or "none"
        return f"it has no strategy {self.strategy!r} for the scripted agent (it has: {there})"

    async def run(self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float) -> AgentFacts:
        """See Agent."""
        reason = self.unfit(task)
        if reason is not None:
            return AgentFacts(error=reason)
        script = _Script(f"strategies/{self.strategy}", "/strategy", "run.sh")
        return await script.run(sandbox, task, {SEED_VARIABLE: str(seed)}, timeout_s)
