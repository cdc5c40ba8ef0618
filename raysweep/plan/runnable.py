"""Which tasks the chosen sandbox can run at all; asked before anything is planned or started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raysweep.config.model import Sweep
from raysweep.errors import Problem
from raysweep.kind import find_kind
from raysweep.plan.asked import vanishing
from raysweep.tasks.model import Task


def check_runnable(sweep: Sweep, tasks: Sequence[Task]) -> list[Problem]:
    """Every task that this sweep's sandbox cannot run, by name, with the reason and the remedy."""
    file = str(sweep.source_path) if sweep.source_path else None
    return [*_vanishing(sweep, tasks, file), *_unfit(sweep, tasks, file)]


def _unfit(sweep: Sweep, tasks: Sequence[Task], file: str | None) -> list[Problem]:
    return [
        Problem(message, remedy, file, key=f"tasks.{task.name}")
        for task in sorted(tasks, key=lambda t: t.name)
        for message, remedy in [*_spec(task), *_place(sweep, task)]
    ]


def _vanishing(sweep: Sweep, tasks: Sequence[Task], file: str | None) -> Iterator[Problem]:
    """Bands that round a task's amounts to less than a millicore or a byte."""
    for band in sweep.bands:
        by_key: dict[str, list[str]] = {}
        for task in sorted(tasks, key=lambda t: t.name):
            for key in vanishing(task.spec, band):
                by_key.setdefault(key, []).append(task.name)
        for key, names in by_key.items():
            more = f" and {len(names) - 1} more tasks" if len(names) > 1 else ""
            unit = "millicore" if key.endswith("cpu") else "byte"
            yield Problem(
                f"band {band.name} leaves task {names[0]}{more} less than one {unit}",
                "choose a larger multiplier, or none",
                file,
                key=f"bands.{band.name}.{key}",
            )


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
