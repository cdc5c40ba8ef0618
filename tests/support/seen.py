"""What a machine shows while other tests make and remove things on it: what vanishes under the look is not there."""

from __future__ import annotations

import os
from pathlib import Path


def below(root: Path, text: str) -> list[str]:
    """Paths of folders and files below `root` whose own name has `text` in it; all of them for an empty text."""
    return [
        os.path.join(folder, name)  # noqa: PTH118 - a string for each of thousands of files
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
        if text in name
    ]


def cgroups(text: str) -> list[str]:
    """Cgroups (and their files) whose own name has `text` in it."""
    return below(Path("/sys/fs/cgroup"), text)


def loops(text: str) -> list[str]:
    """Loop devices whose backing file has `text` in its path."""
    found = []
    for path in Path("/sys/block").glob("loop*"):
        try:
            backing = (path / "loop" / "backing_file").read_text()
        except OSError:
            continue
        if text in backing:
            found.append(f"{path.name}: {backing.strip()}")
    return found


def mounts(text: str) -> list[str]:
    """Mounts that have `text` in their line."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if text in line]


def processes(*texts: str, environ: bool = False) -> list[str]:
    """Other processes with one of `texts` in their command line (or environment), zombies aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            seen = line + ((entry / "environ").read_bytes() if environ else b"")
        except OSError:
            continue
        if any(text.encode() in seen for text in texts):
            found.append(f"process {entry.name}: {line!r}")
    return found
