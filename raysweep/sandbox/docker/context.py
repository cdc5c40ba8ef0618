"""A build context as a value: what `docker build` would send of a folder; equal content gives equal bytes."""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ALWAYS = ("Dockerfile", ".dockerignore")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of .dockerignore: what it matches, and whether it takes matches back in."""

    pattern: re.Pattern[str]
    keeps: bool


def pack_context(folder: Path) -> bytes:
    """A tar archive (pax) of the context below `folder`, .dockerignore obeyed; OSError when it cannot be read.

    Owner is root, times are 0, permission bits are kept, as COPY keeps them.
    """
    ignore = folder / ".dockerignore"
    rules = parse_ignore(ignore.read_text(encoding="utf-8", errors="replace")) if ignore.is_file() else []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in _entries(folder, rules):
            _add(archive, name, path)
    return buffer.getvalue()


def parse_ignore(text: str) -> list[Rule]:
    """The rules of a .dockerignore in their order."""
    rules = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        keeps = line.startswith("!")
        cleaned = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
        if cleaned != ".":
            rules.append(Rule(_translate(cleaned), keeps))
    return rules


def is_ignored(name: str, rules: Sequence[Rule]) -> bool:
    """Whether the rules leave out the relative path `name` or a folder above it; the last that matches decides."""
    parts = name.split("/")
    places = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    ignored = False
    for rule in rules:
        if any(rule.pattern.fullmatch(place) for place in places):
            ignored = not rule.keeps
    return ignored and name not in ALWAYS


def _translate(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match with Docker's `**` as a regular expression."""
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        closing = pattern.find("]", at + 2) if char == "[" else -1
        if pattern.startswith("**", at):
            at += 2
            slash = pattern.startswith("/", at)
            at += slash
            out += "(?:.*/)?" if slash else ".*"
            continue
        if closing > 0:
            out += pattern[at : closing + 1]
            at = closing + 1
            continue
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            char = pattern[at]
            out += re.escape(char)
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        at += 1
    return re.compile(out, re.DOTALL)


def _entries(folder: Path, rules: Sequence[Rule]) -> Iterator[tuple[str, Path]]:
    """(relative POSIX path, path) of all that is not left out, folders before what is in them, in order."""
    entries = []
    for at, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(at, name)
            relative = path.relative_to(folder).as_posix()
            if not is_ignored(relative, rules):
                entries.append((relative, path))
    yield from sorted(entries)


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
    elif path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, stat.S_IMODE(path.stat().st_mode)
        archive.addfile(entry)
    elif path.is_file():
        data = path.read_bytes()
        entry.size, entry.mode = len(data), stat.S_IMODE(path.stat().st_mode)
        archive.addfile(entry, io.BytesIO(data))
