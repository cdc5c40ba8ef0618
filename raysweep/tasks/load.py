"""`load_tasks`: from the `tasks:` section of a sweep to its tasks, or to everything that is wrong with them at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from raysweep.errors import InputError, Problem, bad_input
from raysweep.ids import digest
from raysweep.tasks.harbor import read_task
from raysweep.tasks.model import Task
from raysweep.tasks.sources import bundled_folder, git_folder, local_folder
from raysweep.units import GIB, Resources

_SYNTHETIC = re.compile(r"^[1-9]\d{0,5}$")
_SYNTHETIC_SPEC = Resources(cpu=1000, memory=2 * GIB)


def load_tasks(
    source: str,
    *,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    default_cpu: int | None = None,
    default_memory: int | None = None,
    default_storage: int | None = None,
    base: Path,
    cache: Path | None = None,
) -> tuple[Task, ...]:
    """Tasks of `source`, sorted by name, chosen by fnmatch globs on their names (include first, then exclude).

    source: `bundled:headroom`; a folder (relative to `base`) of Harbor task directories, or one such directory;
    `git+https://...@<sha>#subdirectory=...` (cloned into `cache`, by default ~/.cache/raysweep/tasks); `synthetic:N`,
    N made-up tasks for the simulated sandbox. default_*: millicores and bytes where a task states no spec.
    Raises InputError with all problems of all chosen tasks; tasks left out are not looked into.
    """
    defaults = Resources(cpu=default_cpu, memory=default_memory, storage=default_storage)
    kind, _, rest = source.partition(":")
    if kind == "synthetic":
        names = _synthetic_names(rest, source)
        return tuple(_synthetic(name, defaults) for name in choose(names, include, exclude))
    folders = task_folders(source, base, cache)
    return _read_all([folders[name] for name in choose(sorted(folders), include, exclude)], defaults)


def task_folders(source: str, base: Path, cache: Path | None = None) -> dict[str, Path]:
    """The task directories of a source that is no `synthetic:N`, by name; InputError where there is none."""
    kind, _, rest = source.partition(":")
    if kind == "bundled":
        folder = bundled_folder(rest, source)
    elif source.startswith("git+"):
        folder = git_folder(source, cache or Path.home() / ".cache" / "raysweep" / "tasks")
    else:
        folder = local_folder(source, base)
    return _task_folders(folder, source)


def choose(names: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Names that match an include glob and no exclude glob; InputError for a glob that matches nothing at all."""
    problems = [
        Problem(f"no task matches {glob!r}", _nearest(glob, names), key=f"tasks.{key}", value=glob)
        for key, globs in (("include", include), ("exclude", exclude))
        for glob in globs
        if not any(fnmatchcase(name, glob) for name in names)
    ]
    chosen = [n for n in names if _matches(n, include) and not _matches(n, exclude)]
    if not chosen and not problems:
        problems.append(Problem("no task is left", "widen tasks.include or narrow tasks.exclude", key="tasks"))
    if problems:
        raise InputError(problems)
    return chosen


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _nearest(glob: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(glob.strip("*"), names, n=3, cutoff=0.4) or list(names)[:3]
    return f"the nearest names are {', '.join(near)}"


def _task_folders(folder: Path, source: str) -> dict[str, Path]:
    """Task directories by name: `folder` itself, or those directly below it."""
    if (folder / "task.toml").is_file():
        return {folder.name: folder}
    folders = {p.name: p for p in folder.iterdir() if (p / "task.toml").is_file()}
    if not folders:
        raise bad_input(
            f"no task directory in {folder}",
            "give a folder whose sub-folders hold a task.toml each",
            key="tasks.source",
            value=source,
        )
    return folders


def _read_all(folders: Sequence[Path], defaults: Resources) -> tuple[Task, ...]:
    tasks: list[Task] = []
    problems: list[Problem] = []
    for folder in folders:
        found = read_task(folder, defaults)
        if isinstance(found, Task):
            tasks.append(found)
        else:
            problems += found
    if problems:
        raise InputError(problems)
    return tuple(tasks)


def _synthetic_names(count: str, source: str) -> list[str]:
    if not _SYNTHETIC.match(count):
        raise bad_input("not a number of tasks", "write it like synthetic:89", key="tasks.source", value=source)
    width = max(3, len(str(int(count) - 1)))
    return [f"task-{i:0{width}d}" for i in range(int(count))]


def _synthetic(name: str, defaults: Resources) -> Task:
    spec = Resources(
        cpu=defaults.cpu or _SYNTHETIC_SPEC.cpu,
        memory=defaults.memory or _SYNTHETIC_SPEC.memory,
        storage=defaults.storage,
    )
    return Task(name=name, digest=digest(f"synthetic:{name}:{spec}".encode()), spec=spec)
