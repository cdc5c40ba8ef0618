"""The worker that runs a stream's read task for this process, found by the title that Ray gives it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PATIENCE_S = 120.0


def kill_reader(task: str) -> None:
    """SIGKILL the worker of this process's Ray that is at a task of this name now; waits until it is there and gone."""
    until = time.monotonic() + PATIENCE_S
    while not (found := [pid for pid, title in _processes() if title == f"ray::{task}" and _is_ours(pid)]):
        assert time.monotonic() < until, f"no worker is at {task}"
        time.sleep(0.05)
    os.kill(found[0], signal.SIGKILL)
    while found[0] in [pid for pid, _ in _processes()]:
        assert time.monotonic() < until, f"{found[0]} does not go"
        time.sleep(0.05)


def _processes() -> list[tuple[int, str]]:
    """Living processes with their titles; one that is dead and not waited for has none."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").strip()
            except OSError:
                continue
            if title:
                found.append((int(folder.name), title))
    return found


def _is_ours(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False
