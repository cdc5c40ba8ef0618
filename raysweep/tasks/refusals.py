"""What of the Harbor format raysweep does not support, refused by name with the reason; never half-supported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raysweep.tasks.toml_model import NEWEST_SCHEMA, TaskToml

_COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
_HOST_VARIABLE = re.compile(r"\$\{\w+")
_EXCLUDE = "leave the task out with tasks.exclude"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One unsupported feature: the key that asks for it, its value, why not, and what to do."""

    key: str | None
    value: str | None
    reason: str
    remedy: str = _EXCLUDE


def refusals(toml: TaskToml, folder: Path) -> Iterator[Refusal]:
    """Every reason why this task cannot be run as written."""
    yield from _schema(toml)
    yield from _layout(toml, folder)
    yield from _verifier(toml)
    yield from _environment(toml)
    yield from _network(toml)
    yield from _users_and_variables(toml)


def _schema(toml: TaskToml) -> Iterator[Refusal]:
    text = toml.schema_version or toml.version
    if text is not None and tuple(int(part) for part in text.split(".")) > NEWEST_SCHEMA:
        key = "schema_version" if toml.schema_version else "version"
        yield Refusal(key, text, "task schema is newer than 1.4, the newest that raysweep reads", "update raysweep")


def _layout(toml: TaskToml, folder: Path) -> Iterator[Refusal]:
    if toml.steps or (folder / "steps").is_dir():
        yield Refusal("steps", None, "multi-step tasks are not supported: a trial has one agent phase and one reward")
    for name in _COMPOSE:
        if (folder / "environment" / name).is_file():
            yield Refusal(
                None, f"environment/{name}", "docker-compose environments are not supported: a band bounds one sandbox"
            )


def _verifier(toml: TaskToml) -> Iterator[Refusal]:
    v = toml.verifier
    if v.environment_mode == "separate" or (v.environment is not None and v.environment_mode is None):
        yield Refusal(
            "verifier.environment_mode",
            "separate",
            "a separate verifier environment is not supported: verifier and agent share the band's sandbox",
        )
    if v.collect:
        yield Refusal(
            "verifier.collect", None, "collect commands belong to a separate verifier, which is not supported"
        )


def _environment(toml: TaskToml) -> Iterator[Refusal]:
    e = toml.environment
    if e.gpus > 0 or e.gpu_types:
        yield Refusal("environment.gpus", str(e.gpus), "GPUs are not supported: a band multiplies cpu and memory only")
    if e.tpu:
        yield Refusal("environment.tpu", str(e.tpu), "TPUs are not supported")
    if e.os != "linux":
        yield Refusal("environment.os", e.os, "only linux tasks are supported: limits are Linux cgroups")
    if e.mcp_servers:
        yield Refusal("environment.mcp_servers", None, "MCP servers are not supported: agents reach the sandbox only")
    if e.skills_dir:
        yield Refusal("environment.skills_dir", e.skills_dir, "skills are not supported by the built-in agents")
    if e.healthcheck is not None:
        yield Refusal(
            "environment.healthcheck",
            None,
            "health checks are not supported: an image's own service is not started",
            f"start the service in environment/setup.sh and wait for it there, or {_EXCLUDE}",
        )


def _network(toml: TaskToml) -> Iterator[Refusal]:
    phases = (("environment", toml.environment), ("agent", toml.agent), ("verifier", toml.verifier))
    for name, table in phases:
        if table.network_mode == "allowlist" or table.allowed_hosts:
            yield Refusal(
                f"{name}.network_mode",
                "allowlist",
                "allowlist networks are not supported: a sandbox has a network or none",
            )
        elif table.network_mode is not None and (table.network_mode != "no-network") != toml.environment.network:
            yield Refusal(
                f"{name}.network_mode",
                table.network_mode,
                "a network mode per phase is not supported: a sandbox keeps its network from start to end",
            )


def _users_and_variables(toml: TaskToml) -> Iterator[Refusal]:
    for name, user in (("agent.user", toml.agent.user), ("verifier.user", toml.verifier.user)):
        if user not in {None, "root", 0, "0"}:
            yield Refusal(name, str(user), "another user than root is not supported inside the sandbox")
    tables = {
        "environment.env": toml.environment.env,
        "verifier.env": toml.verifier.env,
        "solution.env": toml.solution.env,
    }
    for name, env in tables.items():
        for variable, value in env.items():
            if _HOST_VARIABLE.search(value):
                yield Refusal(
                    f"{name}.{variable}",
                    value,
                    "values from the host's environment are not supported: nothing of it reaches a sandbox",
                    f"write the value itself, or {_EXCLUDE}",
                )
