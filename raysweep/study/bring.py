"""Images before trials: what a study's sandboxes start from is brought before its first trial begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from raysweep.sandbox.protocol import BringsImages, SandboxSpec
from raysweep.study import compose
from raysweep.study.images import Images, resolve_images, task_images
from raysweep.study.notes import Note, silent
from raysweep.units import Resources

if TYPE_CHECKING:
    from raysweep.sandbox.protocol import SandboxProvider
    from raysweep.study.load import Study


def bring_images_of(study: Study, note: Note = silent) -> None:
    """Build or pull the images of a study that has no run yet.

    Raises:
        InputError: a build failed, with its last lines, or an image cannot run tasks.
        UnsuitableError: an image cannot be had here.

    """
    if study.sweep.sandbox.option("images", "tags") == "require":
        images = Images(resolve_images(study))
    else:
        images = Images({task: (name, None) for task, name in task_images(study).items()})
    asyncio.run(bring_images(compose.recipe(study.sweep)("driver"), study, images.of, note))


async def bring_images(
    provider: SandboxProvider, study: Study, image_of: Callable[[str], str | None], note: Note = silent
) -> None:
    """The same with a provider, where kinds of its sort have images. image_of: what a task's sandboxes start from."""
    if not isinstance(provider, BringsImages):
        return
    specs = [
        SandboxSpec(
            run_id="run-planned",
            name=name,
            request=Resources(),
            limit=Resources(),
            image=image_of(name),
            build_context=task.build_context,
            build_timeout_s=task.build_timeout_s,
            labels={"task": name},
        )
        for name, task in study.tasks.items()
    ]
    builds = len({spec.build_context for spec in specs if spec.image is None and spec.build_context is not None})
    if builds:
        note(f"building the images of {builds} task{'s' if builds > 1 else ''} that are not there yet")
    await provider.bring_images(specs)
