"""The agent protocol; other packages bring agents by the entry-point group "raysweep.agents"."""

from __future__ import annotations

from typing import Protocol

from raysweep.record.evidence import AgentFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.tasks.model import Task

COMMAND_ID = "agent"


class Agent(Protocol):
    """One agent with its options. An entry point names a callable `(options: Mapping[str, object]) -> Agent`.

    The callable raises ValueError "what is wrong; what to do" for options that it does not take.

    An agent may also have, as attributes:

    - `cooperative` (bool, False where absent): its coroutines never block their thread, so they run on the runner's own
      event loop; any other agent gets a thread and an event loop of its own.
    - `trusted` (bool, False where absent): it runs only code that its user wrote or has read. For others `doctor` asks
      for stricter sandboxes.
    - `warm() -> None`: called once in each runner before its first trial of this agent, for imports that take seconds;
      a trial waits for its end for at most 600 s. What it raises is the error of every attempt in that runner.
    - `calls_model` (bool, False where absent): it calls a model, so its entry in the sweep names an `api`, and `run`
      gets a further keyword `api`, a `raysweep.gateway.ModelAccess`: the address of this runner's gateway and a token
      that stands in for the key. The gateway counts calls, tokens and money; the agent need not.
    - `async prepare(sandbox, task) -> None`: called in phase "setup", for what the agent needs inside; bounded by
      `prepare_timeout_s` (600 where absent). What it raises is the agent's error.
    """

    @property
    def kind(self) -> str:
        """Name of the kind, as `make_agent` takes it."""
        ...

    def unfit(self, task: Task) -> str | None:
        """Why this agent cannot try `task` at all (asked before a sweep starts), or None."""
        ...

    async def run(self, sandbox: Sandbox, task: Task, *, seed: int, timeout_s: float) -> AgentFacts:
        """Try the task in a sandbox that is ready, within `timeout_s` seconds; `seed` decides every random choice.

        The command that *is* the agent has the id "agent", so that its death by OOM is told from a child's. What it
        raises is recorded as its error. An agent that is still at work some seconds after `timeout_s` is cut off, and
        the verifier scores what it did. SandboxErrors of the sandbox may pass: they are the platform's.
        """
        ...
