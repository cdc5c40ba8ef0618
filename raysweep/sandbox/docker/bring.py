"""Images before trials: each one built or pulled once, and looked at for what every trial needs of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiodocker import DockerError

from raysweep.errors import InputError, Problem, SandboxError, UnsuitableError
from raysweep.process import owner_token
from raysweep.sandbox.docker.endpoint import REMEDY
from raysweep.sandbox.docker.engine import Engine
from raysweep.sandbox.docker.images import Images
from raysweep.sandbox.docker.shape import OWNER_LABEL, RUN_LABEL
from raysweep.sandbox.protocol import SandboxSpec

AT_ONCE = 4
SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class _Needed:
    """One image and the first task that needs it. context: the folder it is built from; None where it is pulled."""

    name: str
    task: str
    context: str | None
    timeout_s: float


async def bring_images(engine: Engine, images: Images, specs: Sequence[SandboxSpec], default: str) -> None:
    """Build or pull what the sandboxes of `specs` start from.

    Raises:
        InputError: a build failed, with its last lines, or an image has no shell.
        UnsuitableError: an image cannot be pulled, or the engine does not answer.

    """
    needed = {(n.name, n.context): n for n in (_needed(spec, default) for spec in reversed(specs))}
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(wanted: _Needed) -> Problem | None:
        async with slots:
            return await _bring(engine, images, wanted)

    try:
        problems = [p for p in await asyncio.gather(*map(one, needed.values())) if p is not None]
    except (ConnectionError, DockerError) as error:
        raise UnsuitableError(f"the Docker Engine cannot be used: {error}", REMEDY) from error
    faults = [problem for problem in problems if problem.file is not None]
    if faults:
        raise InputError(sorted(faults, key=str))
    if problems:
        raise UnsuitableError("; ".join(p.message for p in problems), problems[0].remedy)


def _needed(spec: SandboxSpec, default: str) -> _Needed:
    task = spec.labels.get("task", spec.name)
    if spec.image is None and spec.build_context is not None:
        return _Needed("", task, spec.build_context, spec.build_timeout_s)
    return _Needed(spec.image or default, task, None, spec.build_timeout_s)


async def _bring(engine: Engine, images: Images, wanted: _Needed) -> Problem | None:
    """What is wrong with one image; a problem with a file is the task's, another one the machine's."""
    try:
        if wanted.context is not None:
            image = await images.built(engine, wanted.context, wanted.timeout_s)
        else:
            image = await images.named(engine, wanted.name)
    except SandboxError as error:
        if wanted.context is None:
            remedy = "correct the name, log in to its registry, or pull it by hand"
            return Problem(error.detail, remedy, key=f"tasks.{wanted.task}")
        remedy = "correct environment/Dockerfile"
        return Problem(f"task {wanted.task}: {error.detail}", remedy, f"{wanted.context}/Dockerfile")
    if not await _has_shell(engine, image.id):
        place = f"{wanted.context}/Dockerfile" if wanted.context is not None else f"image {wanted.name}"
        message = f"task {wanted.task}: its image has no {SHELL}, by which set-up, agents and tests are started"
        return Problem(message, "take an image with a shell, or exclude the task", place)
    return None


async def _has_shell(engine: Engine, image: str) -> bool:
    """Looks into a container that is made, never started, and removed."""
    name = f"rs-look-{uuid.uuid4().hex[:12]}"
    labels: Mapping[str, str] = {RUN_LABEL: "look", OWNER_LABEL: owner_token()}
    await engine.create(name, {"Image": image, "Entrypoint": [SHELL], "Labels": labels, "NetworkDisabled": True})
    try:
        return await engine.has(name, SHELL)
    finally:
        await engine.remove(name)
