"""The agent protocol; later agents (language models) plug in by the entry-point group "raysweep.agents"."""

from __future__ import annotations

from typing import Protocol

from raysweep.record.evidence import AgentFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.tasks.model import Task

COMMAND_ID = "agent"


class Agent(Protocol):
    """One agent with its options. An entry point names a callable `(options: Mapping[str, object]) -> Agent`."""

    @property
    def kind(self) -> str:
        """Name of the kind, as `make_agent` takes it."""
        ...

    def unfit(self, task: Task) -> str | None:
        """Why this agent cannot try `task` at all (asked before a sweep starts), or None."""
        ...

    async def run(self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float) -> AgentFacts:
        """Try the task in a sandbox that is ready, within `timeout_s` seconds; `seed` decides every random choice.

        The command that *is* the agent has the id "agent", so that its death by OOM is told from a child's. Whatever
        goes wrong inside is a value; SandboxError when the sandbox is gone for a platform reason.
        """
        ...
