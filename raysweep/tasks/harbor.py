"""One Harbor task directory to one `Task`, or to everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from raysweep.errors import Problem
from raysweep.tasks.dockerfile import build_need
from raysweep.tasks.folder import SIZE_LIMIT, folder_digest, odd_entries, size_of
from raysweep.tasks.model import Task
from raysweep.tasks.refusals import refusals
from raysweep.tasks.scripts import start_problem, writes_ctrf
from raysweep.tasks.toml_model import TaskToml
from raysweep.units import MIB, Resources, format_bytes

REQUIRED_FILES = ("instruction.md", "tests/test.sh")
SCRIPTS = ("tests/test.sh", "environment/setup.sh")
"""Scripts that every trial of a task starts."""


def read_task(folder: Path, defaults: Resources) -> Task | list[Problem]:
    """The task in `folder`, named after it; `defaults` (millicores, bytes) stand in where it states no spec.

    Returns every problem found instead where there is one. Raises OSError only when the folder cannot be read.
    """
    path = folder / "task.toml"
    text = path.read_text(encoding="utf-8", errors="replace")
    parsed = _parse(path, text)
    if isinstance(parsed, list):
        return parsed
    spec = _spec(parsed, defaults)
    problems = [
        *_refused(path, text, parsed, folder),
        *_unstated(path, spec, folder.name),
        *_too_small(path, text, parsed, spec),
        *_odd_files(folder),
        *_too_large(folder),
        *_unstartable(folder),
        *(_missing(folder, name) for name in REQUIRED_FILES if not (folder / name).is_file()),
    ]
    return problems or _build(folder, parsed, spec)


def _parse(path: Path, text: str) -> TaskToml | list[Problem]:
    try:
        return TaskToml.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or None  # else: "at end of document"
        return [Problem(f"not valid TOML: {error}", "mend the syntax", str(path), line)]
    except ValidationError as error:
        return [_invalid(path, text, dict(detail)) for detail in error.errors(include_url=False)]


def _invalid(path: Path, text: str, detail: dict[str, object]) -> Problem:
    location = detail["loc"]
    assert isinstance(location, tuple)  # noqa: S101 - pydantic's own type
    key = ".".join(str(part) for part in location)
    message = str(detail["msg"]).removeprefix("Value error, ")
    shown = None if isinstance(detail["input"], dict) else repr(detail["input"])
    return Problem(message, "correct the value", str(path), key_line(text, key), key or None, shown)


def key_line(text: str, key: str) -> int | None:
    """Line (1, 2, ...) on which a dotted key of a TOML text is set, else the line of its table, else None."""
    table, _, name = key.rpartition(".")
    at, header = "", None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].strip()
        if line.startswith("["):
            at = line.strip("[] ")
            header = number if at in {table, key} else header
        elif at == table and re.match(rf'"?{re.escape(name)}"?\s*=', line):
            return number
    return header


def _refused(path: Path, text: str, toml: TaskToml, folder: Path) -> list[Problem]:
    return [
        Problem(r.reason, r.remedy, str(path), key_line(text, r.key) if r.key else None, r.key, r.value)
        for r in refusals(toml, folder)
    ]


def _spec(toml: TaskToml, defaults: Resources) -> Resources:
    e = toml.environment
    cpu = None if e.cpus is None else round(e.cpus * 1000)
    return Resources(
        cpu=defaults.cpu if cpu is None else cpu,
        memory=defaults.memory if e.memory_bytes is None else e.memory_bytes,
        storage=defaults.storage if e.storage_bytes is None else e.storage_bytes,
    )


def _unstated(path: Path, spec: Resources, task: str) -> list[Problem]:
    """Cpu and memory must come from somewhere: a band multiplies them. Storage may stay unbounded."""
    return [
        Problem(
            f"task {task} states no {name} and the sweep has no default for it",
            f"set tasks.defaults.{name} in the sweep",
            str(path),
            key=f"environment.{name}",
        )
        for name, value in (("cpus", spec.cpu), ("memory", spec.memory))
        if value is None
    ]


def _too_small(path: Path, text: str, toml: TaskToml, spec: Resources) -> list[Problem]:
    """Amounts that no sandbox can start with: most often bytes where mebibytes are meant, or too many zeros."""
    problems = []
    if spec.cpu is not None and spec.cpu < 1:
        value = None if toml.environment.cpus is None else str(toml.environment.cpus)
        problems.append(
            Problem(
                "less than 0.001 cpus, which rounds to none",
                "state the cpus a trial may use, such as 0.5",
                str(path),
                key_line(text, "environment.cpus"),
                "environment.cpus",
                value,
            )
        )
    for name, size in (("memory", spec.memory), ("storage", spec.storage)):
        if size is not None and size < MIB:
            key = f"environment.{name}" if getattr(toml.environment, name) is not None else f"environment.{name}_mb"
            problems.append(
                Problem(
                    f"{format_bytes(size)} ({size} bytes) of {name} is too little for any sandbox",
                    f"write {name} with its unit, such as 4G, or {name}_mb in MiB",
                    str(path),
                    key_line(text, key),
                    key,
                )
            )
    return problems


def _odd_files(folder: Path) -> list[Problem]:
    return [
        Problem(
            f"task {folder.name} holds {what}, which cannot be copied into a sandbox",
            "remove it, or make it in environment/setup.sh",
            str(folder / name).encode(errors="backslashreplace").decode(),
        )
        for name, what in odd_entries(folder)
    ]


def _too_large(folder: Path) -> list[Problem]:
    size = size_of(folder)
    if size <= SIZE_LIMIT:
        return []
    what = f"task {folder.name} holds {format_bytes(size)}, more than {format_bytes(SIZE_LIMIT)}"
    return [Problem(what, "put large data into an image, or fetch it in environment/setup.sh", str(folder))]


def _unstartable(folder: Path) -> list[Problem]:
    """Scripts of the task that Linux cannot start; the scripts of agents are looked at by their agents."""
    return [
        Problem(f"task {folder.name}: {reason}", "convert the file to LF line ends", str(folder / name), line=1)
        for name in SCRIPTS
        if (folder / name).is_file() and (reason := start_problem((folder / name).read_bytes())) is not None
    ]


def _missing(folder: Path, name: str) -> Problem:
    return Problem(f"task {folder.name} has no {name}", "add the file", str(folder / name))


def _build(folder: Path, toml: TaskToml, spec: Resources) -> Task:
    e = toml.environment
    steps, needs_image, workdir = build_need(folder / "environment", e.docker_image)
    return Task(
        name=folder.name,
        digest=folder_digest(folder),
        spec=spec,
        path=str(folder),
        instruction=(folder / "instruction.md").read_text(encoding="utf-8", errors="replace"),
        agent_timeout_s=toml.agent.timeout_sec,
        verifier_timeout_s=toml.verifier.timeout_sec,
        build_timeout_s=e.build_timeout_sec,
        docker_image=e.docker_image,
        build_steps=steps,
        needs_image=needs_image,
        network=e.network,
        workdir=e.workdir or workdir or "/app",
        env=e.env,
        verifier_env=toml.verifier.env,
        solution_env=toml.solution.env,
        strategies=_strategies(folder),
        ctrf=writes_ctrf((folder / "tests" / "test.sh").read_bytes()),
        notes=_notes(toml),
    )


def _strategies(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.parent.name for p in (folder / "strategies").glob("*/run.sh")))


def _notes(toml: TaskToml) -> tuple[str, ...]:
    """What was read but changes nothing: keys the format does not have, old spellings, artifacts."""
    notes = [f"unknown key {name} ignored" for name in toml.unknown()]
    if toml.version is not None:
        notes.append("version read as schema_version (old spelling)")
    if toml.environment.allow_internet is not None:
        notes.append("environment.allow_internet read as network_mode (old spelling)")
    if toml.artifacts:
        notes.append("artifacts are not collected")
    return tuple(notes)
