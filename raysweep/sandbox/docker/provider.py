"""The docker kind of sandbox as a provider: options travel, the engine is looked at again in each process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiodocker import DockerError

from raysweep.clock import Clock
from raysweep.errors import SandboxError, UnsuitableError
from raysweep.process import owner_token
from raysweep.sandbox.docker.bring import bring_images
from raysweep.sandbox.docker.container import DockerContainer, Site
from raysweep.sandbox.docker.doctor import run_checks
from raysweep.sandbox.docker.endpoint import REMEDY, find_endpoint
from raysweep.sandbox.docker.engine import Engine, engine_facts
from raysweep.sandbox.docker.images import Images
from raysweep.sandbox.docker.leftovers import remove_leftovers
from raysweep.sandbox.docker.options import DockerOptions
from raysweep.sandbox.docker.probe import Proof, probe
from raysweep.sandbox.docker.shape import Shape
from raysweep.sandbox.protocol import (
    SUPERVISOR_PROBES,
    Capabilities,
    Check,
    Planned,
    ProbeCommands,
    Sandbox,
    SandboxSpec,
)
from raysweep.sandbox.supervised.sandbox import SupervisedSandbox
from raysweep.sandbox.threads import in_thread


class DockerProvider:
    """Containers of one engine. Arguments: see `DockerOptions`. Picklable; one per runner."""

    kind = "docker"

    def __init__(self, **options: Any) -> None:
        self.options = DockerOptions(**options)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._images = Images(self.options.pull)
        self._site: Site | None = None
        self._proof: Proof | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.options = state["options"]
        self._reset()

    def engine(self) -> Engine:
        """A client of the engine, to be closed by the caller; UnsuitableError when none is found."""
        return Engine(find_endpoint(self.options.docker_host))

    def capabilities(self) -> Capabilities:
        """What is enforced here, as measured; nothing where containers cannot be made."""
        if self._proof is None:
            try:
                in_thread(self._ready())
            except UnsuitableError:
                return Capabilities()
        assert self._proof is not None  # noqa: S101 - _ready() made it
        return self._proof.capabilities

    def probe_commands(self) -> ProbeCommands:
        """The supervisor's own helpers."""
        return SUPERVISOR_PROBES

    def doctor(self, planned: Planned | None = None) -> Sequence[Check]:
        """What is missing here and how to get it, proven by a container that is really killed."""
        return in_thread(run_checks(self, planned or Planned()))

    async def prepare(self, run_id: str) -> Mapping[str, str | int | float | bool | None]:  # noqa: ARG002 - protocol
        """Look at the engine, prove its limits, clear what dead runners left; UnsuitableError where it cannot."""
        site = await self._ready()
        await self.gc(None)
        return site.facts

    async def _ready(self) -> Site:
        if self._site is None:
            try:
                site, proof = await self._look()
            except (ConnectionError, DockerError) as error:
                raise UnsuitableError(f"the Docker Engine cannot be used: {error}", REMEDY) from error
            except SandboxError as error:
                raise UnsuitableError(f"no container could be made: {error.detail}", "see the message") from error
            self._site, self._proof = site, proof
        return self._site

    async def _look(self) -> tuple[Site, Proof]:
        url = find_endpoint(self.options.docker_host)
        async with Engine(url) as engine:
            facts = engine_facts(await engine.info(), await engine.version())
            site = Site(
                url=url,
                shape=self.shape(),
                images=self._images,
                default_image=self.options.image,
                start_timeout_s=self.options.start_timeout,
                version=engine.api_version,
                facts={**facts, "runner": self.options.owner, "request": "not guaranteed"},
            )
            proof = await probe(engine, site)
        if proof.problem is not None:
            raise UnsuitableError(proof.problem.found, proof.problem.remedy)
        shape = replace(site.shape, memsw_free=proof.memsw_free)
        return replace(site, shape=shape, facts={**site.facts, **proof.facts}), proof

    def shape(self) -> Shape:
        """What is the same for all containers of this provider in this process."""
        return Shape(
            capabilities=self.options.capabilities,
            runner=self.options.owner,
            owner=owner_token(),
            runtime=self.options.docker_runtime,
            cgroup_parent=self.options.cgroup_parent,
        )

    async def bring_images(self, specs: Sequence[SandboxSpec]) -> None:
        """As BringsImages."""
        async with self.engine() as engine:
            await bring_images(engine, self._images, specs, self.options.image)

    def open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is not started yet; prepare() must have been awaited in this process."""
        if self._site is None:
            in_thread(self._ready())
        assert self._site is not None  # noqa: S101 - _ready() made it
        container = DockerContainer(spec, self._site)
        return SupervisedSandbox(spec, container, kills=container.kills)

    async def gc(self, run_id: str | None, *, keep: frozenset[str] = frozenset()) -> Sequence[str]:
        """Remove one run's containers, or all whose owner is dead."""
        async with self.engine() as engine:
            try:
                return await remove_leftovers(engine, run_id, keep)
            except (ConnectionError, DockerError) as error:
                raise UnsuitableError(f"the Docker Engine cannot be used: {error}", REMEDY) from error


def make(owner: str, scratch: Path, clock: Clock | None, options: Mapping[str, Any]) -> DockerProvider:  # noqa: ARG001 - one form for all kinds
    """As SandboxKind.provider."""
    return DockerProvider(owner=owner, **options)
