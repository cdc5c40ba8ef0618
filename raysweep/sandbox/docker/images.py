"""Images: there already, pulled, or built from a task's Dockerfile; each resolved once to its digest.

Built images stay, under names made of the content of their context: the next run with the same task finds them.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import logging
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiodocker import DockerError

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.context import pack_context
from raysweep.sandbox.docker.engine import Engine, ask, is_gone
from raysweep.sandbox.images import ImageName, parse_name

_log = logging.getLogger(__name__)

BUILT = "raysweep-build"
IN_USE = 409
REMOVE_TRIES = 480
_ID = re.compile(r"[0-9a-f]{12,64}")
LAST_WORDS = 1500  # characters of a failed build's output that a message carries
CLASSIC = "; this engine's API builds without BuildKit: build it by `docker build` and name it as docker_image"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the engine has. digest: of its registry where it came from one, else its own id.

    repo_digest: by which the engine knows it in the repository of `name`; None where it has no such digest.
    architecture: as the engine tells it ("amd64", "arm64"). pulled: it had to be pulled or built just now.
    """

    name: str
    id: str
    digest: str
    architecture: str
    pulled: bool = False
    repo_digest: str | None = None


class Images:
    """Resolves each image once per process. `pull`: "missing", "never" or "always" (then once)."""

    def __init__(self, pull: str = "missing") -> None:
        self.pull = pull
        self._known: dict[str, Image] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def named(self, engine: Engine, name: str) -> Image:
        """An image by its name; SandboxError("image") when it cannot be had. ConnectionError: see `engine.ask`."""
        async with self._locks[name]:
            if name not in self._known:
                image = await self._have(engine, name)
                self._known[name] = replace(image, pulled=False)
                return image
            return self._known[name]

    async def built(self, engine: Engine, folder: str, timeout_s: float) -> Image:
        """The image that the Dockerfile in `folder` makes; SandboxError("image") says where the build failed."""
        try:
            context = await asyncio.to_thread(pack_context, Path(folder))
        except OSError as error:
            raise SandboxError("image", f"the build context cannot be read: {error}") from error
        name = f"{BUILT}:{hashlib.sha256(context).hexdigest()[:32]}"
        async with self._locks[name]:
            if name in self._known:
                return self._known[name]
            async with _machine_lock(name):
                image = await look_up(engine, name)
                if image is None:
                    began = time.monotonic()
                    _log.info("building %s as %s", folder, name)
                    await _build(engine, name, context, timeout_s)
                    _log.info("built %s in %.1f s", name, time.monotonic() - began)
                    image = await look_up(engine, name)
                    image = None if image is None else replace(image, pulled=True)
            if image is None:
                raise SandboxError("image", f"the engine does not have what it built as {name}")
            self._known[name] = replace(image, pulled=False)
            return image

    async def _have(self, engine: Engine, name: str) -> Image:
        image = None if self.pull == "always" else await look_up(engine, name)
        if image is not None:
            return image
        if self.pull == "never":
            raise SandboxError("image", f"{name} is not there and `sandbox.pull` is never; `docker pull {name}`")
        began = time.monotonic()
        _log.info("pulling image %s", name)
        try:
            await ask(engine.docker.images.pull(name), timeout_s=None)
        except (DockerError, ValueError) as error:
            raise SandboxError("image", f"{name} cannot be pulled: {error}") from error
        _log.info("pulled image %s in %.1f s", name, time.monotonic() - began)
        image = await look_up(engine, name)
        if image is None:
            raise SandboxError("image", f"{name} was pulled but is not there")
        return replace(image, pulled=True)


async def look_up(engine: Engine, name: str) -> Image | None:
    """The image if the engine has it."""
    try:
        inspected = await ask(engine.docker.images.inspect(name))
    except DockerError as error:
        if is_gone(error):
            return None
        raise SandboxError("image", f"{name}: {error}") from error
    digests: list[str] = inspected.get("RepoDigests") or []
    own = repo_digest(name, digests)
    digest = own or next((text.partition("@")[2] for text in digests), inspected["Id"])
    return Image(name, inspected["Id"], digest, inspected.get("Architecture", ""), repo_digest=own)


def repo_digest(name: str, digests: Iterable[str]) -> str | None:
    """The digest of the repository of `name` among an image's RepoDigests, whichever way engines spell it."""
    wanted = _parsed(name)
    known = [one for text in digests if (one := _parsed(text)) is not None]
    matching = [one.digest for one in known if wanted is not None and one.repository == wanted.repository]
    return wanted.digest if wanted is not None and wanted.digest in matching else next(iter(matching), None)


def _parsed(text: str) -> ImageName | None:
    """A name taken apart; None for an id, for `<none>`, and for what only an engine understands."""
    try:
        return parse_name(text)
    except ValueError:
        return None


async def _build(engine: Engine, name: str, context: bytes, timeout_s: float) -> None:
    """Run a build to its end; what a failed one leaves is removed."""
    said: list[dict[str, Any]] = []

    async def follow(own: Engine) -> None:
        stream = own.docker.images.build(
            fileobj=io.BytesIO(context), encoding="identity", tag=name, rm=True, forcerm=True, stream=True
        )
        async for part in stream:
            said.append(part)  # noqa: PERF401 - kept when it fails halfway

    try:
        # A connection of its own: closing it is how the engine learns that a build is given up.
        async with asyncio.timeout(timeout_s), Engine(engine.url, engine.api_version) as own:
            await ask(follow(own), timeout_s=None)
    except TimeoutError as error:
        await _remove_layers(engine, said)
        raise SandboxError("image", f"the build did not end within {timeout_s:.0f} s\n{_last(said)}") from error
    except DockerError as error:
        await _remove_layers(engine, said)
        hint = CLASSIC if "BuildKit" in error.message else ""
        raise SandboxError("image", f"the build failed: {error.message}{hint}\n{_last(said)}") from error


def _last(said: list[dict[str, Any]]) -> str:
    return "".join(str(part.get("stream", "")) for part in said)[-LAST_WORDS:].strip()


async def _remove_layers(engine: Engine, said: list[dict[str, Any]]) -> None:
    """Remove the nameless image that the last step that succeeded left; its nameless parents go with it."""
    ids = [line.removeprefix("--->").strip() for part in said if (line := _line(part)).startswith("--->")]
    made = next((name for name in reversed(ids) if _ID.fullmatch(name)), "")
    for _ in range(REMOVE_TRIES if made else 0):
        try:
            inspected = await ask(engine.docker.images.inspect(made))
            if not (inspected.get("RepoTags") or inspected.get("RepoDigests")):
                await ask(engine.docker.images.delete(made))
        except DockerError as error:
            if error.status == IN_USE:  # by the step's container, which is going
                await asyncio.sleep(0.25)
                continue
        except ConnectionError:
            pass
        return


def _line(part: dict[str, Any]) -> str:
    return str(part.get("stream", "")).strip()


@asynccontextmanager
async def _machine_lock(name: str) -> AsyncIterator[None]:
    """One build of the same thing at a time on this machine, whichever process begins it."""
    folder = Path(tempfile.gettempdir()) / f"raysweep-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name.replace(":", "-")
    descriptor = await asyncio.to_thread(os.open, path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
    finally:
        os.close(descriptor)
