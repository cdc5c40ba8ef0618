"""Identity of processes: whether the process that made or holds something still runs.

A process id alone can be used again, so a process is named by its id and the time it started. Process ids mean the same
thing only within one boot of one machine and one pid namespace: that is a `place`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
import subprocess
import uuid
from pathlib import Path

ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"


def process_token(pid: int | None = None) -> str:
    """`<process id>-<start>` of a process, by default of this one; compare within one `place` only."""
    pid = pid or os.getpid()
    return f"{pid}-{start_of(pid) or 0}"


def is_alive(token: str) -> bool:
    """Whether the process of a `process_token` still runs: the same process, not its id used again."""
    pid, _, start = token.partition("-")
    return pid.isdigit() and start_of(int(pid)) == start


def place() -> str:
    """The boot of this machine and the pid namespace: `<boot>:<namespace>`; empty where the system does not say."""
    boot = _boot()
    return f"{boot}:{_namespace()}" if boot else ""


def died_here(where: str, token: str) -> bool:
    """Whether a process ran in this very place and has ended; False where that cannot be known from here.

    Args:
        where: `place` of the process.
        token: its `process_token`.

    """
    return bool(where) and where == place() and not is_alive(token)


def owner_token(pid: int | None = None) -> str:
    """`<machine>/<boot>/<pid namespace>/<process id>/<start>` of a process, by default of this one."""
    pid = pid or os.getpid()
    return "/".join([_machine(), _boot() or "unknown", _namespace(), str(pid), start_of(pid) or "0"])


def owner_state(token: str) -> str:
    """ALIVE or DEAD where this machine can tell; UNKNOWN for owners elsewhere (another machine, or a container).

    token: an `owner_token`.
    """
    parts = token.split("/")
    if len(parts) != 5 or not parts[3].isdigit() or parts[0] != _machine():
        return UNKNOWN
    boot, namespace, pid, start = parts[1:]
    if boot != (_boot() or "unknown"):
        return DEAD
    if namespace != _namespace():
        return UNKNOWN
    return ALIVE if start_of(int(pid)) == start else DEAD


def start_of(pid: int) -> str | None:
    """When a live process started, as text without a slash or "@"; None when it has ended or is a zombie."""
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] in {"Z", "X"} else fields[19]
        return None
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    return None if not words or words[0].startswith("Z") else "-".join(words[1:])


def _machine() -> str:
    text = socket.gethostname()
    with contextlib.suppress(OSError):
        text += Path("/etc/machine-id").read_text()
    if platform.system() != "Linux":
        text += f"{uuid.getnode():x}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _boot() -> str:
    """Identity of this boot; empty where the system does not say."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        done = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
        return "".join(char for char in done.stdout.partition("}")[0] if char.isalnum())
    return ""


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")  # noqa: PTH115 - the target is no path
    return "-"
