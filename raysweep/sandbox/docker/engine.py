"""A client of one engine, made of aiodocker: an answer is a value, a `DockerError` (it said no) or a ConnectionError.

One client belongs to one event loop; it is cheap, so each sandbox has its own and none waits for another's connection.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import aiodocker
import aiohttp
from aiodocker import DockerError

__all__ = ["CALL_S", "Engine", "Labels", "ask", "is_gone"]

CALL_S = 120.0
"""An engine that is silent for so long over an ordinary call is taken for unreachable."""
NOT_REACHED = 900  # aiodocker's status where there was no answer at all
T = TypeVar("T")
Labels = dict[str, str]


async def ask(call: Awaitable[T], timeout_s: float | None = CALL_S) -> T:
    """The result of one call; ConnectionError when the engine is not there or silent, DockerError when it says no."""
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except DockerError as error:
        if error.status == NOT_REACHED:
            raise ConnectionError(error.message) from error
        raise
    except TimeoutError as error:
        raise ConnectionError(f"the engine did not answer within {timeout_s:.0f} s") from error
    except aiohttp.ClientError as error:
        raise ConnectionError(f"the connection to the engine broke: {error!r}") from error


def is_gone(error: DockerError) -> bool:
    """Whether the engine says that the thing asked for does not exist."""
    return bool(error.status == 404)


class Engine:
    """The calls that sandboxes need. `url` as `endpoint.find_endpoint` gives it; `version`: API version, found if None.

    Use `async with`, or call `close` at the end.
    """

    def __init__(self, url: str, version: str | None = None) -> None:
        self.url = url
        connector: aiohttp.BaseConnector
        if url.startswith("unix://"):
            connector, base = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0), "unix://localhost"
        else:
            secure = url.startswith("https://") or os.environ.get("DOCKER_TLS_VERIFY", "0") not in {"", "0"}
            connector = aiohttp.TCPConnector(limit=0, ssl=_tls() if secure else True)
            base = ("https://" if secure else "http://") + url.partition("://")[2].rstrip("/")
        self._connector = connector
        self.docker = aiodocker.Docker(url=base, connector=connector, api_version=version or "auto")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.docker.close()
        await self._connector.close()

    @property
    def api_version(self) -> str:
        """The API version in use, "auto" before the first call."""
        return str(self.docker.api_version)

    async def info(self) -> dict[str, Any]:
        """What the engine says about itself and its machine."""
        return dict(await ask(self.docker.system.info()))

    async def version(self) -> dict[str, Any]:
        """Versions of the engine and its parts."""
        return dict(await ask(self.docker.version()))

    async def inspect(self, name: str) -> dict[str, Any] | None:
        """A container by name or id; None when there is none."""
        try:
            return dict(await ask(self.docker.containers.container(name).show()))
        except DockerError as error:
            if is_gone(error):
                return None
            raise

    async def create(self, name: str, config: dict[str, Any]) -> str:
        """Id of a new container, not started."""
        made = await ask(self.docker.containers.create(config, name=name))
        return str(made.id)

    async def start(self, name: str) -> None:
        """Start a container."""
        await ask(self.docker.containers.container(name).start())

    async def put(self, name: str, archive: bytes, dest: str = "/") -> None:
        """Unpack a tar archive below the existing folder `dest` of a container, running or not."""
        await ask(self.docker.containers.container(name).put_archive(dest, archive))  # type: ignore[no-untyped-call]

    async def has(self, name: str, path: str) -> bool:
        """Whether a container has something at `path`."""
        return await self.stat(name, path) is not None

    async def stat(self, name: str, path: str) -> dict[str, Any] | None:
        """What a container has at `path` (name, size, mode, mtime, linkTarget); None when there is nothing."""
        if self.api_version == "auto":
            await self.version()
        url = f"{self.docker.docker_host}/{self.api_version}/containers/{name}/archive"

        async def look() -> tuple[int, str]:
            async with self.docker.session.head(url, params={"path": path}) as response:
                return response.status, response.headers.get("X-Docker-Container-Path-Stat", "")

        status, described = await ask(look())
        if status not in {200, 404}:
            raise DockerError(status, f"the engine cannot look for {path} in {name}")
        return dict(json.loads(base64.b64decode(described) or "{}")) if status == 200 else None

    async def remove(self, name: str) -> bool:
        """End and remove a container with its anonymous volumes; False when there was none.

        Waits where another removal of the same container is under way.
        """
        container = self.docker.containers.container(name)
        while True:
            try:
                await ask(container.delete(force=True, v=True))
            except DockerError as error:
                if is_gone(error):
                    return False
                if error.status != 409 or await self.inspect(name) is None:
                    raise
                await asyncio.sleep(0.05)
            else:
                return True

    async def labelled(self, *labels: str) -> list[dict[str, Any]]:
        """Containers (stopped ones too) that carry all of the labels, given as "key" or "key=value"."""
        filters = json.dumps({"label": list(labels)})
        containers = await ask(self.docker.containers.list(all=True, filters=filters))
        return [dict(container._container) for container in containers]  # noqa: SLF001 - the only way to what was listed


def _tls() -> ssl.SSLContext:
    """Docker's own client certificates: $DOCKER_CERT_PATH, else ~/.docker."""
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem") if (folder / "ca.pem").exists() else None)
    if (folder / "cert.pem").exists():
        context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    return context


def engine_facts(info: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """Facts of an engine and its machine for the ledger."""
    parts = {part.get("Name"): part.get("Version") for part in version.get("Components") or ()}
    runtime = info.get("DefaultRuntime") or "runc"
    return {
        "name": info.get("Name"),
        "machine_type": info.get("Architecture"),
        "kernel": info.get("KernelVersion"),
        "os_image": info.get("OperatingSystem"),
        "runtime": f"{runtime} {parts.get(runtime, '')}".strip(),
        "engine": info.get("ServerVersion"),
        "storage_driver": info.get("Driver"),
        "cgroup": int(info["CgroupVersion"]) if str(info.get("CgroupVersion", "")).isdigit() else None,
        "cgroup_driver": info.get("CgroupDriver"),
        "allocatable_memory": info.get("MemTotal"),
        "allocatable_cpu": info.get("NCPU", 0) * 1000,
    }
