"""task.toml of the Harbor format, schema up to 1.4, as pydantic models: shapes and ranges only.

Unknown keys are kept aside (`extra`), to be named in a note as Harbor itself does. What raysweep does not support is
part of the models, so that `tasks.refusals` can refuse it by name.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

NEWEST_SCHEMA = (1, 4)
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?$", re.IGNORECASE)
_KIB_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes of Harbor's spelling of a size, where "2G" means 2 GiB; ValueError otherwise."""
    found = _SIZE.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size; write it like 2G or 512M (binary units)")
    return int(Decimal(found[1]) * 1024 ** _KIB_POWER[found[2].upper()])


def _size(value: object) -> object:
    """A size always has a unit: a bare number is mebibytes to one reader and bytes to the next."""
    return parse_size(value if isinstance(value, str) else str(value))


def _text(value: object) -> object:
    """A version may be written 1.0 or "1.0"."""
    return str(value) if isinstance(value, float | int) and not isinstance(value, bool) else value


Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NetworkMode = Literal["public", "no-network", "allowlist"]
Version = Annotated[str, BeforeValidator(_text), StringConstraints(pattern=r"^\d+\.\d+$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    def unknown(self, prefix: str = "") -> list[str]:
        """Dotted names of the keys that the format does not have, of this table and those below it."""
        names = [prefix + key for key in self.model_extra or {}]
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, _Table):
                names += value.unknown(f"{prefix}{key}.")
        return names


class TaskTable(BaseModel):
    """[task]: the package's own description; nothing here changes how a trial runs."""

    model_config = ConfigDict(extra="allow", frozen=True)


class AgentTable(_Table):
    """[agent]."""

    timeout_sec: Seconds = 900.0
    user: str | int | None = None
    network_mode: NetworkMode | None = None
    allowed_hosts: list[str] = []


class EnvironmentTable(_Table):
    """[environment]. Both spellings of memory and storage; `memory_bytes` and `storage_bytes` read either."""

    build_timeout_sec: Seconds = 600.0
    docker_image: str | None = None
    cpus: Amount | None = None
    memory_mb: Amount | None = None
    memory: Size | None = None
    storage_mb: Amount | None = None
    storage: Size | None = None
    gpus: int = 0
    gpu_types: list[str] | None = None
    tpu: Any = None
    os: str = "linux"
    network_mode: NetworkMode | None = None
    allow_internet: bool | None = None
    allowed_hosts: list[str] = []
    mcp_servers: list[Any] = []
    skills_dir: str | None = None
    healthcheck: dict[str, Any] | None = None
    env: dict[str, str] = {}
    workdir: Annotated[str, StringConstraints(pattern=r"^/")] | None = None

    @model_validator(mode="after")
    def _spellings_agree(self) -> EnvironmentTable:
        for name, mib, size in (
            ("memory", self.memory_mb, self.memory),
            ("storage", self.storage_mb, self.storage),
        ):
            if mib is not None and size is not None and round(mib * 1024**2) != size:
                raise ValueError(f"{name} and {name}_mb say different sizes; keep one of them")
        if self.allow_internet is not None and self.network_mode is not None:
            agreed = {"public": True, "no-network": False}.get(self.network_mode)
            if agreed is not None and agreed is not self.allow_internet:
                raise ValueError("network_mode and allow_internet contradict each other; keep network_mode")
        return self

    @property
    def memory_bytes(self) -> int | None:
        """Declared memory in bytes."""
        return self.memory if self.memory_mb is None else round(self.memory_mb * 1024**2)

    @property
    def storage_bytes(self) -> int | None:
        """Declared storage in bytes."""
        return self.storage if self.storage_mb is None else round(self.storage_mb * 1024**2)

    @property
    def network(self) -> bool:
        """Whether the sandbox has a network; as in Harbor, yes where the task says nothing."""
        if self.network_mode is not None:
            return self.network_mode != "no-network"
        return self.allow_internet is not False


class VerifierTable(_Table):
    """[verifier]."""

    timeout_sec: Seconds = 600.0
    env: dict[str, str] = {}
    user: str | int | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: dict[str, Any] | None = None
    collect: list[Any] = []
    network_mode: NetworkMode | None = None
    allowed_hosts: list[str] = []


class SolutionTable(_Table):
    """[solution]."""

    env: dict[str, str] = {}


class TaskToml(_Table):
    """A whole task.toml."""

    schema_version: Version | None = None
    version: Version | None = None
    task: TaskTable = TaskTable()
    metadata: dict[str, Any] = {}
    agent: AgentTable = AgentTable()
    verifier: VerifierTable = VerifierTable()
    environment: EnvironmentTable = EnvironmentTable()
    solution: SolutionTable = SolutionTable()
    steps: list[Any] = []
    multi_step_reward_strategy: Any = None
    artifacts: list[Any] = []
    source: Any = None
