"""One container: made, reached, looked at and removed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiodocker import DockerError

from raysweep.errors import SandboxError
from raysweep.process import ALIVE, owner_state
from raysweep.sandbox.cgroup.kmsg import KernelLog, Kill
from raysweep.sandbox.docker.channel import DockerChannel, open_channel
from raysweep.sandbox.docker.container_end import ContainerStart, container_start, ending_of, is_running
from raysweep.sandbox.docker.engine import Engine, ask, is_gone
from raysweep.sandbox.docker.images import Image, Images
from raysweep.sandbox.docker.payload import fill_volume, folders_archive
from raysweep.sandbox.docker.shape import (
    ATTEMPT_LABEL,
    OWNER_LABEL,
    RUN_LABEL,
    TASK_FOLDERS,
    Shape,
    container_name,
    create_request,
    read_limit,
    read_request,
)
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.container import Channel, ContainerEndedError, Ending, Facts, Made
from raysweep.sandbox.supervisor import PLACE

CREATED_LABEL = "raysweep.dev/creation"
REMOVE_PATIENCE_S = 120.0
"""How long a removal waits for an engine that is away; what it leaves then is `gc`'s."""
NOT_RUNNING = 409


@dataclass(frozen=True, slots=True)
class Site:
    """What all containers of one provider share: the engine, its facts, images, the shape of containers, kernel log."""

    url: str
    shape: Shape
    images: Images
    default_image: str
    start_timeout_s: float = 600.0
    version: str | None = None
    facts: Facts = field(default_factory=dict)
    log: KernelLog = field(default_factory=KernelLog)


class DockerContainer:
    """Implements `sandbox.supervised.container.Container`."""

    def __init__(self, spec: SandboxSpec, site: Site) -> None:
        self.spec = spec
        self.site = site
        self.token = secrets.token_hex(16)
        self.name = container_name(spec)
        self._engine: Engine | None = None
        self._making: asyncio.Task[Made] | None = None
        self._began: ContainerStart | None = None
        self._removed = False
        self._watched: str | None = None

    # -- making it

    async def create(self) -> Made:
        """Make it and wait until its process 1 runs; SandboxError: image, scheduling or api_server."""
        self._engine = Engine(self.site.url, self.site.version)
        try:
            async with asyncio.timeout(self.site.start_timeout_s):
                image = await self._image(self._engine)
                # Shielded: a creation that is cut in the middle would leave a container that nobody knows of.
                self._making = asyncio.create_task(self._make(self._engine, image))
                return await asyncio.shield(self._making)
        except TimeoutError as error:
            after = f"within {self.site.start_timeout_s:.0f} s"
            raise SandboxError("scheduling", f"the container did not start {after}") from error
        except ConnectionError as error:
            raise SandboxError("api_server", f"the engine at {self.site.url}: {error}") from error

    async def _image(self, engine: Engine) -> Image:
        spec = self.spec
        if spec.image is None and spec.build_context is not None:
            return await self.site.images.built(engine, spec.build_context, spec.build_timeout_s)
        return await self.site.images.named(engine, spec.image or self.site.default_image)

    async def _make(self, engine: Engine, image: Image) -> Made:
        try:
            request = create_request(self.spec, self.site.shape, image.id, image.architecture, self.token)
        except ValueError as error:
            raise SandboxError("image", f"{image.name}: {error}") from error
        request["Labels"][CREATED_LABEL] = self._creation
        await self._create(engine, request)
        try:
            await engine.put(self.name, await self._payload(engine))
            await fill_volume(engine, self.name, image.id, image.architecture, request["Labels"])
            await engine.start(self.name)
            inspected = await engine.inspect(self.name)
        except DockerError as error:
            cause = "image" if "exec format error" in error.message else "scheduling"
            raise SandboxError(cause, f"the container could not be started: {error.message}") from error
        if inspected is None or not inspected["State"]["Running"]:
            raise SandboxError("scheduling", f"the container ended as it began: {await self._last_words(engine)}")
        self._began = container_start(inspected)
        self._watched = await asyncio.to_thread(self._watch, inspected)
        others = await self._neighbours(engine)
        identity = {"image": image.name, "image_digest": image.digest, "image_id": image.id}
        node = {**self.site.facts, **identity, "co_tenants": others}
        request_now = read_request(inspected, self.spec.request)
        return Made(request_now, read_limit(inspected), node=node, image_pulled=image.pulled)

    async def _payload(self, engine: Engine) -> bytes:
        """The folders that the image does not have: those that it has stay as they are."""
        wanted = dict.fromkeys((*TASK_FOLDERS, self.spec.workdir))
        missing = tuple([path for path in wanted if not await engine.has(self.name, path)])
        return folders_archive(missing)

    async def _create(self, engine: Engine, request: dict[str, Any]) -> None:
        """A leftover under our name is replaced; a live owner's is not."""
        try:
            await engine.create(self.name, request)
        except DockerError as error:
            if error.status != NOT_RUNNING:
                cause = "image" if is_gone(error) else "scheduling"
                raise SandboxError(cause, f"the container could not be created: {error.message}") from error
            await self._replace(engine, request)

    async def _replace(self, engine: Engine, request: dict[str, Any]) -> None:
        existing = await engine.inspect(self.name)
        labels = (existing or {}).get("Config", {}).get("Labels") or {}
        same = all(labels.get(key) == request["Labels"][key] for key in (RUN_LABEL, ATTEMPT_LABEL))
        mine = labels.get(OWNER_LABEL) == self.site.shape.owner
        if existing is not None and not (same and (mine or owner_state(labels.get(OWNER_LABEL, "")) != ALIVE)):
            raise SandboxError("scheduling", f"a container named {self.name} is there and belongs to another process")
        await engine.remove(self.name)
        try:
            await engine.create(self.name, request)
        except DockerError as error:
            raise SandboxError("scheduling", f"the container could not be created: {error.message}") from error

    async def _last_words(self, engine: Engine) -> str:
        with contextlib.suppress(DockerError, ConnectionError):
            lines = await ask(engine.docker.containers.container(self.name).log(stdout=True, stderr=True))
            return "".join(lines)[-1000:].strip()
        return ""

    async def _neighbours(self, engine: Engine) -> int:
        """Other sandboxes of raysweep that run on this engine."""
        containers = await engine.labelled(RUN_LABEL)
        return sum(
            1 for one in containers if one.get("State") == "running" and f"/{self.name}" not in one.get("Names", ())
        )

    # -- reaching it

    async def connect(self) -> Channel:
        """A new stream; ContainerEndedError when it has ended, ConnectionError when the engine is away."""
        try:
            return await self._connect()
        except DockerError as error:
            if is_gone(error) or error.status == NOT_RUNNING:
                raise ContainerEndedError(error.message) from error
            raise ConnectionError(error.message) from error

    async def _connect(self) -> DockerChannel:
        engine = self._running()
        inspected = await engine.inspect(self.name)
        if self._began is None or not is_running(inspected, self._began):
            raise ContainerEndedError(f"the container {self.name} does not run any more")
        call = engine.docker.containers.container(self.name).exec([PLACE, "call", "task"], stdin=True)
        command = await ask(call)
        return await ask(open_channel(command))

    def _running(self) -> Engine:
        if self._engine is None or self._removed:
            raise ContainerEndedError(f"the container {self.name} was not made, or is removed")
        return self._engine

    async def connect_keeper(self) -> Channel | None:
        """There is no keeper beside a container of an engine."""
        return None

    # -- its end

    def _watch(self, inspected: Mapping[str, Any]) -> str | None:
        """Our cgroup where the engine runs on this machine and its kernel log can be read."""
        group = own_cgroup(inspected["Id"], inspected["State"].get("Pid") or 0)
        if group is not None:
            self.site.log.watch(group)
        return group

    def kills(self) -> Sequence[Kill]:
        """The kernel log's OOM kills in this container, oldest first; none where the log is out of reach."""
        return self.site.log.kills(self._watched) if self._watched is not None else ()

    async def ending(self) -> Ending:
        """The engine's last word; nothing of it is known when the engine is away."""
        if self._began is None:
            return Ending()
        try:
            engine = self._running()
            inspected = await engine.inspect(self.name)
            node: dict[str, Any] = {"co_tenants_end": await self._neighbours(engine)}
        except (DockerError, ConnectionError, ContainerEndedError):
            return Ending()
        return ending_of(inspected, self._began, self.spec.request, node)

    async def remove(self) -> None:
        """Remove it; waits for a creation under way, and a while for an engine that is away."""
        if self._making is not None:
            await asyncio.wait({self._making})
        if self._watched is not None:
            self.site.log.forget(self._watched)
        engine, self._engine, self._removed = self._engine, None, True
        if engine is None:
            return
        try:
            if self._making is not None:
                await self._remove(engine)
        finally:
            await engine.close()

    async def _remove(self, engine: Engine) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REMOVE_PATIENCE_S):
                while True:
                    with contextlib.suppress(ConnectionError, DockerError):
                        existing = await engine.inspect(self.name)
                        if existing is not None and existing["Config"]["Labels"].get(CREATED_LABEL) == self._creation:
                            await engine.remove(existing["Id"])
                        return
                    await asyncio.sleep(1.0)

    @property
    def _creation(self) -> str:
        """Tells our container from another attempt's of the same name; says nothing of the token."""
        return f"{id(self):x}-{self.site.shape.owner}"


def own_cgroup(container_id: str, pid: int) -> str | None:
    """v1 memory cgroup of a container's process 1, where `pid` is a process of this machine and that container's."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and container_id in path:
            return path
    return None
