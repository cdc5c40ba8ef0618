"""Agents: what tries to solve a task inside a sandbox (oracle, nop, scripted; plug-ins by entry points).

Belongs here: the protocol, the built-in agents, making a task's environment ready. Does not: judging how an agent
ended (trial.classify), rewards (verifier), sandboxes themselves.
"""

from raysweep.agent.protocol import Agent
from raysweep.agent.registry import agent_kinds, make_agent, trusted

__all__ = ["Agent", "agent_kinds", "make_agent", "trusted"]
