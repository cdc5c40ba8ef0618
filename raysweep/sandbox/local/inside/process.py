# ruff: noqa: PTH208 - os.path is what a hot path on foreign names needs
"""One command as a process tree: made, marked, joined to the task's cgroup, and killed whole.

A command's processes carry its number as their limit of file locks (RLIMIT_LOCKS, which no kernel since 2.4 looks at):
children inherit it and nobody inside may raise it, so a time-out finds them all, whatever sessions they made and
whoever adopted them. A helper process per command would do the same, but the task could kill it; it cannot kill us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time

TYPE_CHECKING = False  # typing takes longer to import than half of the rest
if TYPE_CHECKING:
    from typing import Any, NoReturn

SPOOL = "/run/raysweep"
FIRST_MARK = 1_000_000_000  # number of the first command; far from any limit a program would set
OOM_SCORE_ADJ = "500"  # when a group above is full, the task goes before its supervisor
PR_SET_DUMPABLE = 4
RLIMIT_LOCKS = 10

libc = ctypes.CDLL(None, use_errno=True)


class Command:
    """One command under way or ended; `status` is the wait status, `waiters` are (request id, output limit)."""

    def __init__(self, request: dict[str, Any], mark: int) -> None:
        self.mark = mark
        self.started = time.monotonic()
        timeout = request.get("timeout")
        self.deadline = None if timeout is None else self.started + timeout
        self.killing_since: float | None = None
        self.status: int | None = None
        self.duration = 0.0
        self.ended = False
        self.waiters: list[tuple[int, int]] = []
        self.out, self.err = _spool_file(), _spool_file()
        self.pid = 0

    def result(self, limit: int) -> tuple[dict[str, Any], bytes]:
        """Reply to a waiter: how it ended, and the first `limit` bytes of both streams."""
        out, err = os.pread(self.out, limit, 0), os.pread(self.err, limit, 0)
        code = os.waitstatus_to_exitcode(self.status) if self.status is not None else None
        facts = {
            "exit": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "timed_out": self.killing_since is not None,
            "duration": self.duration,
            "out_len": len(out),
            "out_total": os.fstat(self.out).st_size,
            "err_total": os.fstat(self.err).st_size,
        }
        return facts, out + err


def _spool_file() -> int:
    """A file on the disk-backed area that has no name: gone with its last holder, nothing to clean."""
    name = f"{SPOOL}/{os.urandom(16).hex()}"  # tempfile takes as long to import as all else together
    fd = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(name)  # noqa: PTH108
    return fd


def become(command: Command, request: dict[str, Any], procs: list[int]) -> NoReturn:
    """In the child: join the task's cgroup, take its marks, and turn into the command."""
    try:
        os.setsid()
        for fd in procs:
            os.write(fd, b"0")
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (command.out, 1), (command.err, 2)):
            os.dup2(source, target)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        resource.setrlimit(RLIMIT_LOCKS, (command.mark, command.mark))
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would not be ours
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - hot path of every command
            file.write(OOM_SCORE_ADJ)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - that is what it is for
    except BaseException as error:  # noqa: BLE001 - the child must end here, whatever went wrong
        os.write(2, f"raysweep: cannot run {request['argv'][0]}: {error}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def kill_marked(mark: int) -> bool:
    """Kill every process with this mark; whether there was one."""
    found = False
    wanted = str(mark)
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/limits") as file:  # noqa: PTH123 - hot path
                lines = file.read().splitlines()
            if any(line.startswith("Max file locks") and wanted in line.split() for line in lines):
                os.kill(int(name), signal.SIGKILL)
                found = True
    return found
