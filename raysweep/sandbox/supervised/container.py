"""What a backend gives: one container that runs the supervisor as its process 1, and byte streams to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from raysweep.record.evidence import Evicted
from raysweep.units import Resources

Facts = Mapping[str, str | int | float | bool | None]
"""Facts of a node by name."""


class ContainerEndedError(Exception):
    """The container (or its pod) is not running any more; no stream to it will ever be had again."""


class Channel(Protocol):
    """A byte stream to the supervisor: the standard input and output of `supervisor call` inside the container."""

    async def send(self, data: bytes) -> None:
        """Send all of it; ConnectionError when the stream broke."""
        ...

    async def receive(self) -> bytes:
        """Some bytes, at least one; b"" when the other end closed. ConnectionError when the stream broke."""
        ...

    async def close(self) -> None:
        """Give the stream up; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A container that runs: bounds as the platform admitted them, facts of its node, whether its image was pulled.

    Of the facts, `allocatable_memory` (bytes that the pods of the node may use together) is evidence: how much room
    there was above a full sandbox.
    """

    request: Resources
    limit: Resources
    node: Facts = field(default_factory=dict)
    image_pulled: bool | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The platform's last word on a container, read before it is removed.

    ended: it was not running any more. oom_killed: the platform says that its main process died of an OOM kill (never
    proof of whose limit); False only where it says what else it was, so a kill without a reason is None. evicted,
    platform, platform_detail: as in FinalFacts. request, limit: bounds as the platform reports them now (None: it does
    not). node: facts of the node at the end.
    """

    ended: bool = False
    oom_killed: bool | None = None
    evicted: Evicted | None = None
    platform: str | None = None
    platform_detail: str | None = None
    request: Resources | None = None
    limit: Resources | None = None
    node: Facts = field(default_factory=dict)


class Container(Protocol):
    """Order of calls: create, then connect any number of times, ending, remove (always, idempotent)."""

    token: str
    """Secret of this container's supervisor, 32 hex digits. The container is made with its digest only (`digest_of`);
    the token itself goes into the first stream, before anything of a task runs."""

    async def create(self) -> Made:
        """Make it and wait until its process 1 runs; SandboxError(cause) when the platform cannot."""
        ...

    async def connect(self) -> Channel:
        """A new stream. ContainerEndedError when it has ended, ConnectionError when it cannot be reached just now."""
        ...

    async def connect_keeper(self) -> Channel | None:
        """The samples that the keeper beside it has (which survives a group kill), then b""; None without a keeper."""
        ...

    async def ending(self) -> Ending:
        """The platform's last word; never raises: what cannot be read is unknown."""
        ...

    async def remove(self) -> None:
        """Remove it with everything that belongs to it; what is gone already is fine."""
        ...
