"""Proposed task.toml values as files and as one diff to review; the originals are read, never written.

A textual edit: comments, order and all other keys stay as they are. The edited text is read back and must say the same
as the original but for the values that were to change; a file written in a way that this edit does not understand is
refused by name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.errors import InputError, Problem, bad_input
from raysweep.units import GIB, MIB

DIFF = "proposal.diff"
_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")  # TOML's own idea of a line; str.splitlines knows others
_FENCE = re.compile(r'"""|\'\'\'')


@dataclass(frozen=True, slots=True)
class SpecChange:
    """New values of one task; None leaves what is there. memory: bytes (whole MiB), cpu: millicores, seconds."""

    memory: int | None = None
    cpu: int | None = None
    agent_timeout_s: float | None = None


def edit_toml(text: str, change: SpecChange) -> str:
    """The text of a task.toml with the new values; InputError where a textual edit would not say just that."""
    before = _parse(text)
    edited = text
    for table, key, value in _settings(before, change):
        edited = _set(edited, table, key, value)
    try:
        faithful = tomllib.loads(edited) == _wanted(before, change)
    except tomllib.TOMLDecodeError:
        faithful = False
    if not faithful:
        raise bad_input("is written in a way that a textual edit would damage", "set the values by hand")
    return edited


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise bad_input(f"is not valid TOML: {error}", "mend the syntax") from None


def _settings(before: Mapping[str, Any], change: SpecChange) -> Iterator[tuple[str, str, str]]:
    """(table, key, value as TOML) in the spelling that the file uses already; memory may stand in both spellings."""
    environment, agent = before.get("environment", {}), before.get("agent", {})
    if change.memory is not None:
        keys = [key for key in ("memory_mb", "memory") if key in environment] or ["memory_mb"]
        for key in keys:
            yield "environment", key, _memory(key, change.memory, environment.get(key))
    if change.cpu is not None:
        yield "environment", "cpus", _number(change.cpu / 1000, environment.get("cpus", 1))
    if change.agent_timeout_s is not None:
        yield "agent", "timeout_sec", _number(change.agent_timeout_s, agent.get("timeout_sec", 1.0))


def _memory(key: str, size: int, was: object) -> str:
    if key == "memory_mb":
        return _number(size / MIB, was)
    if isinstance(was, int):
        return str(size)
    return f'"{size // GIB}G"' if size % GIB == 0 else f'"{size // MIB}M"'


def _number(value: float, was: object) -> str:
    """A whole number as one, unless the file writes this value with a point."""
    return repr(float(value)) if isinstance(was, float) or value != int(value) else str(int(value))


def _wanted(before: Mapping[str, Any], change: SpecChange) -> dict[str, Any]:
    wanted = {**before}
    for table, key, value in _settings(before, change):
        wanted[table] = {**wanted.get(table, {}), key: tomllib.loads(f"v = {value}")["v"]}
    return wanted


def _set(text: str, table: str, key: str, value: str) -> str:
    """Replace `key = ...` within [table], keeping its comment; else add the key to the table, else the table."""
    lines = _LINES.findall(text)
    end = "\r\n" if "\r\n" in text else "\n"
    at, last, fence = "", None, ""
    for number, line in enumerate(lines):
        found = None if fence else _TABLE.match(line)
        at = at if found is None else found[2] if found[1] == "[" else found[0]
        if at == table and not fence and _key_of(line) == key:
            lines[number] = _replaced(line, value)
            return "".join(lines)
        if at == table and (fence or (line.strip() and not line.lstrip().startswith("#"))):
            last = number
        fence = _fence_after(line, fence)
    if last is None:
        gap = end if text and not text.endswith("\n") else ""
        return f"{text}{gap}{end}[{table}]{end}{key} = {value}{end}"
    lines[last] = lines[last] if lines[last].endswith("\n") else lines[last] + end
    lines.insert(last + 1, f"{key} = {value}{end}")
    return "".join(lines)


def _fence_after(line: str, fence: str) -> str:
    """The open multi-line quote after a line, "" where there is none."""
    for found in _FENCE.finditer(line):
        if not fence:
            fence = found[0]
        elif fence == found[0]:
            fence = ""
    return fence


def _key_of(line: str) -> str:
    return line.partition("=")[0].strip().strip("\"'")


def _replaced(line: str, value: str) -> str:
    """The line with another value: indentation, spacing and comment stay."""
    head, _, rest = line.partition("=")
    tail = re.match(r"""(\s*)("[^"]*"|'[^']*'|[^#\s]+)(.*)""", rest, re.DOTALL)
    return line if tail is None else f"{head}={tail[1]}{value}{tail[3]}"


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
