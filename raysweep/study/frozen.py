"""The tasks of a run, frozen at its start: kept in the run by digest, and read from there ever after."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep import config
from raysweep.errors import InputError, Problem, bad_input
from raysweep.record.place import Remote, RunPath, run_path, store_at

if TYPE_CHECKING:
    from raysweep.config import Sweep
    from raysweep.record.kept import KeptTasks
    from raysweep.record.store import Store
    from raysweep.study.notes import Note
    from raysweep.tasks.copies import TaskCopies
    from raysweep.tasks.model import Task

SHOWN = 5
"""Changed files that a message names."""


def kept_tasks(path: RunPath) -> KeptTasks | None:
    """What the run at `path` keeps of its tasks; None where it keeps none, or is no run."""
    from raysweep.record.kept import KeptTasks, kept_digests

    store = store_at(path)
    if not store.exists("run.json"):
        return None
    digests = kept_digests(store)
    return KeptTasks(path.resolve() if isinstance(path, Path) else path, digests) if digests else None


def run_of_config(config: Path) -> RunPath | None:
    """The run directory whose own sweep.yaml `config` is; None where it is any other file."""
    text = str(config)
    if config.name != "sweep.yaml":
        return None
    scheme, colon, rest = text.partition(":/")
    if colon and scheme in {"s3", "gs"}:  # as Path spells s3://
        return run_path(f"{scheme}://{rest.strip('/')}".removesuffix("/sweep.yaml"))
    return config.parent if (config.parent / "run.json").is_file() else None


def read_sweep(config_file: Path) -> tuple[Sweep, RunPath | None]:
    """The sweep of a file, and the run that the file is the sweep.yaml of, if it is one; InputError as config.load."""
    origin = run_of_config(config_file)
    if not isinstance(origin, Remote):
        return config.load(config_file), origin
    with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
        local = Path(folder) / "sweep.yaml"
        try:
            local.write_bytes(store_at(origin).get("sweep.yaml"))
        except FileNotFoundError:
            raise bad_input("there is no run", "give the sweep.yaml of a run", file=str(origin)) from None
        return config.load(local), origin


def kept_or_none(sweep: Sweep, origin: RunPath | None, target: RunPath | None, note: Note) -> tuple[Task, ...] | None:
    """The tasks that a run keeps, where they are to be read from one; None where the sweep's source is.

    origin: the run that the sweep's file belongs to. target: the run directory in which the sweep is to run.
    InputError: the target keeps other tasks than there are in the source now.
    """
    if sweep.tasks.source.startswith("synthetic:"):
        return None
    kept = None if origin is None else kept_tasks(origin)
    if kept is not None:
        return copied_tasks(sweep, kept)
    if target is None or not (store := store_at(target)).exists("run.json"):
        return None
    if store.get("sweep.yaml").decode() != sweep.study_text:
        return None  # another sweep's: refused where the run directory is opened
    kept = kept_tasks(target)
    if kept is None:
        note(f"{target} was made by an older raysweep and keeps no tasks; they are read from {sweep.tasks.source}")
        return None
    if not refuse_edited_source(sweep, kept):
        note(f"{sweep.tasks.source} cannot be read here; the tasks that {target} keeps are used")
    return copied_tasks(sweep, kept)


def copied_tasks(sweep: Sweep, kept: KeptTasks) -> tuple[Task, ...]:
    """The tasks that a run keeps, sorted by name, as far as the sweep includes them; InputError: one is damaged."""
    from raysweep.tasks.copies import TaskCopies
    from raysweep.tasks.load import choose

    digests = planned_digests(kept.run)
    copies = TaskCopies(kept)
    names = choose(sorted(digests), sweep.tasks.include, sweep.tasks.exclude)
    return tuple(_read_copy(sweep, name, digests[name], copies) for name in names)


def planned_digests(path: RunPath) -> dict[str, str]:
    """Digest by name of each task of a run's plan."""
    from raysweep.record.reader import read_plan

    planned = read_plan(store_at(path), str(path), ("task", "task_digest"))
    pairs = planned.group_by(["task", "task_digest"]).aggregate([]).to_pylist()
    return {str(pair["task"]): str(pair["task_digest"]) for pair in pairs}


def _read_copy(sweep: Sweep, name: str, digest: str, copies: TaskCopies) -> Task:
    from raysweep.tasks.harbor import read_task

    found = read_task(copies.folder(digest), sweep.tasks.defaults.resources)
    if isinstance(found, list):
        raise InputError(found)
    return replace(found, name=name)


def keep_tasks(sweep: Sweep, tasks: Mapping[str, Task], store: Store) -> None:
    """Keep the tasks of a run that is being made.

    Raises:
        InputError: a task was changed since it was read.

    """
    from raysweep.record.kept import keep_task
    from raysweep.tasks.archive import pack_task
    from raysweep.tasks.copies import TaskCopies

    for task in tasks.values():
        if task.path is None:
            continue
        archive = pack_task(Path(task.path))
        try:
            copy = _read_copy(sweep, task.name, task.digest, TaskCopies({task.digest: archive}.__getitem__))
        except InputError as error:
            raise _changed_meanwhile(task) from error
        if replace(copy, path=task.path) != task:
            raise _changed_meanwhile(task)
        keep_task(store, task.digest, archive)


def _changed_meanwhile(task: Task) -> InputError:
    return bad_input(f"task {task.name} was changed while it was read", "run the same command again", file=task.path)


def refuse_edited(tasks: Mapping[str, Task], path: RunPath) -> None:
    """InputError that names every task, and its files, that differs from what the run at `path` keeps."""
    kept = kept_tasks(path)
    if kept is None:
        return
    sources = {name: None if t.path is None else Path(t.path) for name, t in tasks.items()}
    digests = {name: task.digest for name, task in tasks.items()}
    _refuse_edited(kept, sources, digests)


def refuse_edited_source(sweep: Sweep, kept: KeptTasks) -> bool:
    """The same for the folders that a sweep names, whether they can be read as tasks or not.

    False where there is nothing to compare with: the source is not there, or it cannot change.
    """
    from raysweep.tasks.folder import folder_digest
    from raysweep.tasks.load import choose, task_folders

    if sweep.tasks.source.startswith("git+"):
        return True  # its commit is pinned
    try:
        folders = task_folders(sweep.tasks.source, sweep.source_path.parent if sweep.source_path else Path())
        names = choose(sorted(folders), sweep.tasks.include, sweep.tasks.exclude)
    except InputError:
        return False
    _refuse_edited(kept, {n: folders[n] for n in names}, {n: folder_digest(folders[n]) for n in names})
    return True


def _refuse_edited(kept: KeptTasks, sources: Mapping[str, Path | None], digests: Mapping[str, str]) -> None:
    from raysweep.tasks.copies import TaskCopies
    from raysweep.tasks.folder import changed_entries

    before, copies, problems = planned_digests(kept.run), TaskCopies(kept), []
    own = kept.run / "sweep.yaml"
    remedy = (
        f"put it back as it was, or resume with the run's own copy: raysweep run {own} --run-dir {kept.run}; "
        "for the edited tasks choose a new --run-dir"
    )
    for name in sorted({*before, *digests}):
        source = sources.get(name)
        if before.get(name) == digests.get(name):
            continue
        if name not in digests:
            problems.append(Problem(f"task {name} of this run is gone from its source", remedy, key=f"tasks.{name}"))
        elif name not in before:
            message = f"task {name} is not one of this run's tasks: it was added since the run began"
            problems.append(Problem(message, remedy, str(source) if source else None))
        elif source is not None and before[name] in kept.digests:
            files = changed_entries(copies.folder(before[name]), source)
            problems.append(
                Problem(f"task {name} was edited since this run began ({_some(files)})", remedy, str(source / files[0]))
            )
        else:
            problems.append(Problem(f"task {name} was edited since this run began", remedy, key=f"tasks.{name}"))
    if problems:
        raise InputError(problems)


def _some(files: list[str]) -> str:
    shown = [name.encode(errors="backslashreplace").decode() for name in files[:SHOWN]]
    return ", ".join(shown) + (f" and {len(files) - SHOWN} more" if len(files) > SHOWN else "")


def with_copies(sweep: Sweep, tasks: Mapping[str, Task], kept: KeptTasks | None) -> Mapping[str, Task]:
    """The tasks as their run keeps them, in place of their source; as they are where it keeps none."""
    from raysweep.tasks.copies import TaskCopies

    if kept is None:
        return tasks
    copies = TaskCopies(kept)
    return {
        name: _read_copy(sweep, name, task.digest, copies) if task.digest in kept.digests else task
        for name, task in tasks.items()
    }
