"""Which tasks the chosen sandbox can run at all; asked before anything is planned or started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raysweep.config.model import Sweep
from raysweep.errors import Problem
from raysweep.kind import find_kind
from raysweep.tasks.model import Task


def check_runnable(sweep: Sweep, tasks: Sequence[Task]) -> list[Problem]:
    """Every task that this sweep's sandbox cannot run, by name, with the reason and the remedy."""
    file = str(sweep.source_path) if sweep.source_path else None
    return [
        Problem(message, remedy, file, key=f"tasks.{task.name}")
        for task in sorted(tasks, key=lambda t: t.name)
        for message, remedy in [*_spec(task), *_place(sweep, task)]
    ]


def _spec(task: Task) -> Iterator[tuple[str, str]]:
    """A band multiplies what the task declares, so cpu and memory must be known."""
    for said, key, like in ((task.spec.cpu, "cpus", "1"), (task.spec.memory, "memory", "2Gi")):
        if said is None:
            yield (
                f"the task declares no {key}, so a band has nothing to multiply",
                f"write `tasks: {{defaults: {{{key}: {like}}}}}`, or exclude the task",
            )


def _place(sweep: Sweep, task: Task) -> Iterator[tuple[str, str]]:
    kind = find_kind(sweep.sandbox.kind)
    if not kind.real:
        return
    if task.path is None:
        yield "a made-up task can only be simulated", "use `sandbox: {kind: simulated}`, or real tasks"
    elif kind.images == "none" and task.needs_image:
        yield (
            f"needs a container image ({task.needs_image}), which {kind.name} sandboxes do not have",
            "exclude it by `tasks.exclude`, or run it with `sandbox: {kind: docker}` or kubernetes",
        )
    elif kind.images == "named" and task.needs_image and task.docker_image is None:
        yield (
            f"needs an image to be built ({task.needs_image}), which the kind {kind.name} does not do",
            "build environment/ and push it, name that image as `docker_image` in task.toml; or exclude the task",
        )
