"""Proposed task.toml values as files and as one diff to review; the originals are read, never written.

tomlkit keeps comments, order and spelling. The edited text is read back and must say the same as the original but for
the values that were to change; a file for which it does not is refused by name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Table

from raysweep.errors import InputError, Problem, bad_input
from raysweep.units import GIB, MIB

DIFF = "proposal.diff"
_LINES = re.compile(r"[^\n]*\n|[^\n]+")  # TOML's own idea of a line; str.splitlines knows others
Value: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class SpecChange:
    """New values of one task; None leaves what is there. memory: bytes (whole MiB), cpu: millicores, seconds."""

    memory: int | None = None
    cpu: int | None = None
    agent_timeout_s: float | None = None


def edit_toml(text: str, change: SpecChange) -> str:
    """The text of a task.toml with the new values; comments, order and all other keys stay as they are.

    Raises:
        InputError: it is no TOML, or the edited text would not say just that.

    """
    before = _parse(text)
    if not all(isinstance(before.get(table, {}), dict) for table in ("environment", "agent")):
        raise _by_hand()
    settings = list(_settings(before, change))
    try:
        document = tomlkit.parse(text)
        for table, key, value in settings:
            _set(document, table, key, value, "\r\n" if "\r\n" in text else "\n")
        edited = tomlkit.dumps(document)
        faithful = tomllib.loads(edited) == _wanted(before, settings)
    except (tomlkit.exceptions.TOMLKitError, tomllib.TOMLDecodeError, TypeError):
        faithful = False
    if not faithful:
        raise _by_hand()
    return edited


def _by_hand() -> InputError:
    return bad_input("is written in a way that an edit would damage", "set the values by hand")


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise bad_input(f"is not valid TOML: {error}", "mend the syntax") from None


def _settings(before: Mapping[str, Any], change: SpecChange) -> Iterator[tuple[str, str, Value]]:
    """(table, key, value) in the spelling that the file uses already; memory may stand in both spellings."""
    environment, agent = before.get("environment", {}), before.get("agent", {})
    if change.memory is not None:
        keys = [key for key in ("memory_mb", "memory") if key in environment] or ["memory_mb"]
        for key in keys:
            yield "environment", key, _memory(key, change.memory, environment.get(key))
    if change.cpu is not None:
        yield "environment", "cpus", _number(change.cpu / 1000, environment.get("cpus", 1))
    if change.agent_timeout_s is not None:
        yield "agent", "timeout_sec", _number(change.agent_timeout_s, agent.get("timeout_sec", 1.0))


def _memory(key: str, size: int, was: object) -> Value:
    if key == "memory_mb":
        return _number(size / MIB, was)
    if isinstance(was, int):
        return size
    return f"{size // GIB}G" if size % GIB == 0 else f"{size // MIB}M"


def _number(value: float, was: object) -> float:
    """A whole number as one, unless the file writes this value with a point."""
    return float(value) if isinstance(was, float) or value != int(value) else int(value)


def _wanted(before: Mapping[str, Any], settings: Iterable[tuple[str, str, Value]]) -> dict[str, Any]:
    wanted = {**before}
    for table, key, value in settings:
        wanted[table] = {**wanted.get(table, {}), key: value}
    return wanted


def _set(document: TOMLDocument, table: str, key: str, value: Value, line_end: str) -> None:
    """Replace a value, keeping its comment; else add the key to its table, else the table."""
    if table not in document:
        document[table] = tomlkit.table()
        document[table].trivia.trail = line_end
    section = document[table]
    if key in section or not isinstance(section, Table):
        section[key] = value
        return
    item = tomlkit.item(value)
    item.trivia.trail = line_end
    # Comments and empty lines at the end of a table are about the next table: the key goes above them.
    body = section.value.body
    after: list[Any] = []
    while body and body[-1][0] is None:
        after.insert(0, body.pop())
    section[key] = item
    body.extend(after)


def write_proposals(changes: Mapping[str, SpecChange], folders: Mapping[str, Path], out: Path) -> Path:
    """Write OUT/<task>/task.toml for each change and OUT/proposal.diff; returns the path of the diff.

    folders: directory of every task. Apply with `patch -p1 -d TASKS < OUT/proposal.diff`. InputError, before anything
    is written, when OUT holds files, lies within a task, or a file cannot be edited (all of them named).
    """
    _check_out(out, folders)
    edited, problems = {}, []
    for task, change in sorted(changes.items()):
        path = folders[task] / "task.toml"
        try:
            text = path.read_bytes().decode("utf-8")
            edited[task] = (text, edit_toml(text, change))
        except InputError as error:
            problems += [Problem(p.message, p.remedy, str(path)) for p in error.problems]
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(f"cannot be read: {error}", "mend the file", str(path)))
    if problems:
        raise InputError(problems)
    for task, (_, after) in edited.items():
        (out / task).mkdir(parents=True)
        (out / task / "task.toml").write_bytes(after.encode())
    out.mkdir(parents=True, exist_ok=True)
    diff = out / DIFF
    diff.write_bytes("".join(line for task, texts in edited.items() for line in _diff(task, *texts)).encode())
    return diff


def _check_out(out: Path, folders: Mapping[str, Path]) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise bad_input("is not an empty folder", "give a new folder", key="--write", value=str(out))
    inside = [f for f in folders.values() if out.resolve().is_relative_to(f.resolve())]
    if inside:
        message = f"lies in an original task ({inside[0]}), and these are never written"
        raise bad_input(message, "give a folder elsewhere", key="--write", value=str(out))


def _diff(task: str, before: str, after: str) -> Iterator[str]:
    name = f"{task}/task.toml"
    old, new = _LINES.findall(before), _LINES.findall(after)
    for line in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
