"""Who owns a container, told so that a stranger on the same machine can see whether the owner still lives."""

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


def owner_token(pid: int | None = None) -> str:
    """`<machine>/<boot>/<process namespace>/<process id>/<its start>` of a process, by default of this one."""
    pid = pid or os.getpid()
    return "/".join([_machine(), _boot(), _namespace(), str(pid), start_of(pid) or "0"])


def owner_state(token: str) -> str:
    """ALIVE or DEAD where this machine can tell; UNKNOWN for owners elsewhere (another machine, or a container)."""
    parts = token.split("/")
    if len(parts) != 5 or not parts[3].isdigit() or parts[0] != _machine():
        return UNKNOWN
    machine_boot, namespace, pid, start = parts[1:]
    if machine_boot != _boot():
        return DEAD
    if namespace != _namespace():
        return UNKNOWN
    return ALIVE if start_of(int(pid)) == start else DEAD


def start_of(pid: int) -> str | None:
    """When a live process began, in words without a slash; None when it is gone or a zombie."""
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
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    done = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
    return "".join(char for char in done.stdout.partition("}")[0] if char.isalnum()) or "unknown"


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")  # noqa: PTH115 - the target is no path
    return "-"
