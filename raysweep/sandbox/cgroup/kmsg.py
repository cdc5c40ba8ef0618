"""Which cgroup was full when the OOM killer struck, from the kernel log (/dev/kmsg, where it may be read).

The kernel prints one "oom-kill:" line per kill with oom_memcg (the full cgroup) and task_memcg (the victim's), then one
with the victim's memory; under a storm it prints at most ten in five seconds, so silence proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, replace

_LINE = re.compile(
    r"oom-kill:constraint=.*?(?:oom_memcg=(?P<full>[^,]*)|global_oom),task_memcg=(?P<victim>[^,]*),.*?pid=(?P<pid>\d+)"
)
_VICTIM = re.compile(r"Killed process (?P<pid>\d+) .*anon-rss:(?P<anon>\d+)kB.*shmem-rss:(?P<shmem>\d+)kB")
_RECORD_BYTES = 8192  # the kernel's longest record


@dataclass(frozen=True, slots=True)
class Kill:
    """One logged kill: the victim's process id, whether the watched cgroup was the full one, its anon + shmem bytes."""

    pid: int
    own: bool
    anon_bytes: int | None = None


def parse_oom_line(line: str) -> tuple[str | None, str, int] | None:
    """(full cgroup or None for the whole machine, victim's cgroup, its pid) of an "oom-kill:" record, else None."""
    match = _LINE.search(line)
    return (match["full"], match["victim"], int(match["pid"])) if match else None


def parse_victim_line(line: str) -> tuple[int, int] | None:
    """(process id, anon + shmem bytes) of a "Killed process" record, else None."""
    match = _VICTIM.search(line)
    return (int(match["pid"]), (int(match["anon"]) + int(match["shmem"])) * 1024) if match else None


def is_below(path: str, suffix: str) -> bool:
    """Whether `path`, as the kernel prints it from the hierarchy's root, is the cgroup `suffix` or below it."""
    return (path.rstrip("/") + "/").find(suffix.rstrip("/") + "/") >= 0


class KernelLog:
    """Follows the log from the moment it was opened; one per process, safe to use from threads."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, list[Kill]] = defaultdict(list)
        self._watched: set[str] = set()
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def readable(self) -> bool:
        """Whether this process may read the kernel log."""
        return self._fd is not None

    def watch(self, suffix: str) -> None:
        """Remember kills of processes below the cgroup whose path ends with `suffix`."""
        with self._lock:
            self._drain()
            self._watched.add(suffix)

    def forget(self, suffix: str) -> None:
        """Stop remembering."""
        with self._lock:
            self._watched.discard(suffix)
            self._seen.pop(suffix, None)

    def kills(self, suffix: str) -> list[Kill]:
        """The logged kills of processes below `suffix`, in order."""
        with self._lock:
            self._drain()
            return list(self._seen.get(suffix, ()))

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _drain(self) -> None:
        while self._fd is not None:
            try:
                record = os.read(self._fd, _RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # records were overwritten before we read them: silence, not proof
            except OSError:
                return
            self._note(record.decode(errors="replace"))

    def _note(self, record: str) -> None:
        parsed = parse_oom_line(record)
        if parsed is not None:
            full, victim, pid = parsed
            for suffix in self._watched:
                if is_below(victim, suffix):
                    self._seen[suffix].append(Kill(pid, full is not None and is_below(full, suffix)))
            return
        killed = parse_victim_line(record)
        if killed is not None:
            for kills in self._seen.values():
                if kills and kills[-1].pid == killed[0]:
                    kills[-1] = replace(kills[-1], anon_bytes=killed[1])
