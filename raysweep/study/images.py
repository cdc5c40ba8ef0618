"""The images of a sweep: which one each task starts from, its digest as of the making of the run, and tags that moved.

Belongs here: what is looked up where. The digests of a run are those of its plan.parquet, whatever a tag means later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raysweep.config.container import ContainerConfig
from raysweep.errors import SandboxError, UnsuitableError
from raysweep.study.notes import Note, silent

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.config import Sweep
    from raysweep.plan.table import TaskImage
    from raysweep.sandbox.docker.engine import Engine
    from raysweep.sandbox.registry import Registries, Resolution
    from raysweep.study.load import Study

MAKING_S, RESUMING_S = 60.0, 20.0
"""Longest wait for all look-ups together, when a run is made and when it is resumed."""
AT_ONCE = 8
SHOWN = 5
"""Images named in one line."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one run. by_task: name and digest, by name of the task.

    seen: the first identity (trial.images) of each image that has no digest, from the ledger and what is added to it.
    """

    by_task: Mapping[str, TaskImage] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def of(self, task: str) -> str | None:
        """What the task's sandboxes start from, by digest where there is one."""
        name, digest = self.by_task.get(task, (None, None))
        return name if name is None or digest is None else _pinned(name, digest)

    def named(self, name: str) -> str:
        """The same for the name of an image."""
        return next((self.of(task) or name for task, (own, _) in self.by_task.items() if own == name), name)

    def seen_of(self, task: str) -> str | None:
        """The first identity of the task's image in this run, where a tag is all that is known of it."""
        return self.seen.get(self.by_task.get(task, (None, None))[0] or "")

    def note(self, row: Mapping[str, Any]) -> None:
        """Remember the image an attempt ran; skip attempts voided because the tag moved."""
        from raysweep.trial.images import image_identity

        name, digest = self.by_task.get(row["task"], (None, None))
        identity = image_identity(dict(row.get("node") or {}))
        if name is not None and digest is None and identity is not None and row.get("cause") != "image":
            self.seen.setdefault(name, identity)

    @property
    def pinned(self) -> dict[str, str]:
        """Digest by name, of those that have one."""
        return {name: digest for name, digest in self.by_task.values() if name is not None and digest is not None}


def image_name(sweep: Sweep, name: str) -> str:
    """Where image `name` is taken from: its copy below `sandbox.image_mirror`, where there is one."""
    from raysweep.sandbox.images import mirrored

    mirror: str | None = sweep.sandbox.option("image_mirror", None)
    return name if mirror is None else mirrored(name, mirror)


def task_images(study: Study) -> dict[str, str | None]:
    """Name of the image of each task; None without containers, and where the engine builds one."""
    return {
        task: None if name is None else image_name(study.sweep, name) for task, name in original_images(study).items()
    }


def original_images(study: Study) -> dict[str, str | None]:
    """The same as tasks and sweep name them, mirror or not."""
    sandbox = study.sweep.sandbox
    if not isinstance(sandbox, ContainerConfig):
        return dict.fromkeys(study.tasks)
    return {
        name: task.docker_image or (None if task.path is not None and task.build_steps == "image" else sandbox.image)
        for name, task in study.tasks.items()
    }


def resolve_images(study: Study, note: Note = silent, *, look: bool = True) -> dict[str, TaskImage]:
    """Name and digest of each task's image; a name that could not be resolved stays a tag.

    Args:
        study: its sweep says whether to ask.
        note: gets one line with the names that stay tags.
        look: False asks nobody, so that only names that carry a digest have one.

    Raises:
        UnsuitableError: `sandbox.images` is `require` and a name could not be resolved.

    """
    by_task = task_images(study)
    asked: str = study.sweep.sandbox.option("images", "tags")
    names = sorted({name for name in by_task.values() if name is not None})
    resolved = asyncio.run(_look_up(study.sweep, names, MAKING_S, look=look and asked != "tags"))
    failed = [f"{name}: {resolved[name].why}" for name in names if resolved[name].digest is None]
    if look and failed and asked == "require":
        raise UnsuitableError(
            f"{_count(failed)} could not be resolved to a digest ({some(failed)})",
            "name it by digest (NAME@sha256:...), or set sandbox.images to resolve",
        )
    if look and failed and asked == "resolve":
        note(f"{_count(failed)} could not be resolved to a digest and stays a tag: {some(failed)}")
    return {task: (None, None) if name is None else (name, resolved[name].digest) for task, name in by_task.items()}


def digests_of(sweep: Sweep, names: Iterable[str]) -> dict[str, Resolution]:
    """What registries say that `names` mean now."""
    return asyncio.run(_look_up(sweep, names, MAKING_S))


def moved_tags(sweep: Sweep, images: Images) -> list[str]:
    """The tags that mean another image now than when the run was made, each with both digests, for a person."""
    tags = {name: digest for name, digest in images.pinned.items() if "@" not in name}
    now = asyncio.run(_look_up(sweep, tags, RESUMING_S)) if tags else {}
    return [
        f"{name} ({_short(digest)} -> {_short(after)})"
        for name, digest in tags.items()
        if (after := now[name].digest) is not None and after != digest
    ]


def unresolved(images: Images) -> bool:
    """Whether some task's image is known by a name only, so that what attempts saw first matters."""
    return any(digest is None and name is not None for name, digest in images.by_task.values())


def first_seen(attempts: pa.Table, images: Images) -> None:
    """Note what the ledger's attempts saw first. attempts: columns task, node and cause, in the order of recording."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not unresolved(images):
        return
    facts = [pc.map_lookup(attempts["node"], pa.scalar(key), "first") for key in ("image_id", "image_digest")]
    attempted = pa.table(
        {
            "task": attempts["task"].cast(pa.string()),
            "cause": attempts["cause"].cast(pa.string()),
            "identity": pc.coalesce(*facts),
        }
    )
    sound = pc.and_(pc.is_valid(attempted["identity"]), pc.fill_null(pc.not_equal(attempted["cause"], "image"), True))
    first = attempted.filter(sound).group_by("task", use_threads=False).aggregate([("identity", "first")])
    for row in first.to_pylist():
        images.note({"task": row["task"], "node": {"image_digest": row["identity_first"]}})


async def _look_up(sweep: Sweep, names: Iterable[str], within_s: float, *, look: bool = True) -> dict[str, Resolution]:
    """What each name means now, all of them within `within_s` seconds."""
    from raysweep.sandbox.images import parse_name
    from raysweep.sandbox.registry import Registries, Resolution, docker_auths

    late = Resolution(None, f"no answer within {within_s:.0f} s" if look else "not looked up")
    resolved = dict.fromkeys(names, late)
    asked = []
    for name in resolved:
        try:
            own = parse_name(name).digest
        except ValueError as error:
            resolved[name] = Resolution(None, str(error))
            continue
        if own is not None:
            resolved[name] = Resolution(own)
        elif look:
            asked.append(name)
    if not asked:
        return resolved
    slots = asyncio.Semaphore(AT_ONCE)
    engine = _engine(sweep)

    async def one(name: str, registries: Registries) -> None:
        async with slots:
            resolved[name] = await _digest(sweep, engine, registries, name)

    try:
        async with asyncio.timeout(within_s), Registries(docker_auths()) as registries:
            await asyncio.gather(*(one(name, registries) for name in asked))
    except TimeoutError:
        pass  # what came in time is kept
    finally:
        if engine is not None:
            await engine.close()
    return resolved


def _engine(sweep: Sweep) -> Engine | None:
    """A client of the engine that runs the sandboxes; None where there is none."""
    if "docker_host" not in type(sweep.sandbox).model_fields:
        return None
    from raysweep.sandbox.docker.endpoint import find_endpoint
    from raysweep.sandbox.docker.engine import Engine

    try:
        return Engine(find_endpoint(sweep.sandbox.option("docker_host", None)))
    except UnsuitableError:
        return None


async def _digest(sweep: Sweep, engine: Engine | None, registries: Registries, name: str) -> Resolution:
    """The digest of what would run: the copy that is there, where `pull` says so, else what the registry serves."""
    from raysweep.sandbox.images import parse_name
    from raysweep.sandbox.registry import Resolution

    pull = sweep.sandbox.option("pull", "missing")
    if engine is not None and pull != "always":
        from raysweep.sandbox.docker.images import look_up

        try:
            image = await look_up(engine, name)
        except (SandboxError, ConnectionError) as error:
            return Resolution(None, f"the engine does not tell ({error})")
        if image is not None:
            return Resolution(image.repo_digest, "" if image.repo_digest else "only this engine has it")
    if pull == "never":
        return Resolution(None, "`pull: never` runs the copies that are there")
    return await registries.digest(parse_name(name))


def _pinned(name: str, digest: str) -> str:
    from raysweep.sandbox.images import parse_name

    return parse_name(name).pinned(digest)


def _count(names: list[str]) -> str:
    return "1 image" if len(names) == 1 else f"{len(names)} images"


def some(texts: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def _short(digest: str) -> str:
    return digest[:19]
