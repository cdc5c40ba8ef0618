"""Process 1 of a local sandbox: runs commands, unpacks and packs archives, reaps; an event loop on one socket.

Frames on the socket (file descriptor 0): a header (length of the JSON part, length of the bytes part), JSON, bytes.
Every command joins the task's cgroup between fork and exec; this process and its archive workers stay outside, so
that they are never charged to the task.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time

from .process import FIRST_MARK, PR_SET_DUMPABLE, SPOOL, Command, become, kill_marked, libc

TYPE_CHECKING = False  # typing takes longer to import than half of the rest
if TYPE_CHECKING:
    from typing import Any, NoReturn

HEADER = struct.Struct(">IQ")
KILL_TICK_S = 0.01
KILL_ALL_AFTER_S = 3.0  # a tree that outruns its killer this long takes everything inside with it
END_OF_ARCHIVE = b"\0raysweep worker failed\0"  # parts what a failed worker had written from what went wrong
DISK_TICKS_S = (0.002, 0.2)
FILL_RATE = 2e9  # bytes a second; the disk is looked at twice in the time in which its free part could be filled


class Supervisor:
    """The event loop of process 1."""

    def __init__(self, link: socket.socket, config: dict[str, Any]) -> None:
        self.link = link
        self.config = config
        self.commands: dict[str, Command] = {}
        self.workers: dict[int, tuple[int, int]] = {}  # pid -> (request id, pipe)
        self.collected: dict[int, bytearray] = {}  # pipe -> what the worker wrote
        self.disk_full = False
        self.disk_pause = DISK_TICKS_S[1]
        self.selector = selectors.DefaultSelector()

    def run(self) -> NoReturn:
        """Serve until the runner is gone; then everything inside ends with this process."""
        wake_in, wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.link, selectors.EVENT_READ)
        self.selector.register(wake_in, selectors.EVENT_READ)
        self.send(0, {"ready": True, "python": sys.version.split()[0]})
        load_archives()
        while True:
            for key, _ in self.selector.select(self.pause()):
                if key.fileobj is self.link:
                    self.receive()
                elif key.fd == wake_in:
                    os.read(wake_in, 4096)
                else:
                    self.collect(key.fd)
            self.reap()
            self.tick()

    def pause(self) -> float | None:
        """Seconds until something must be looked at again."""
        now = time.monotonic()
        open_commands = [c for c in self.commands.values() if not c.ended]
        waits = [KILL_TICK_S if c.killing_since else c.deadline - now for c in open_commands if c.deadline is not None]
        if open_commands and self.config["bounded"] and not self.disk_full:
            waits.append(self.disk_pause)
        return max(0.0, min(waits)) if waits else None

    # -- the link

    def send(self, request_id: int, reply: dict[str, Any], body: bytes = b"") -> None:
        """Send one frame; the runner always reads, so this never blocks for long."""
        head = json.dumps({"id": request_id, **reply}).encode()
        self.link.sendall(HEADER.pack(len(head), len(body)) + head)
        self.link.sendall(body)

    def receive(self) -> None:
        """Take one whole request and start what it asks for."""
        json_length, body_length = HEADER.unpack(self.exactly(HEADER.size))
        request = json.loads(self.exactly(json_length))
        body = self.exactly(body_length)
        try:
            getattr(self, "on_" + request["op"])(request, body)
        except OSError as error:
            self.send(request["id"], {"error": f"{type(error).__name__}: {error}", "errno": error.errno})

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes; ends this process, and with it the sandbox, when the runner is gone."""
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            got = self.link.recv_into(view[done:])
            if not got:
                sys.exit(0)
            done += got
        return bytes(data)

    # -- commands

    def on_exec(self, request: dict[str, Any], _body: bytes) -> None:
        """Start a command, or wait for the one that has this id already."""
        command = self.commands.get(request["cid"])
        if command is None:
            command = Command(request, FIRST_MARK + len(self.commands))
            command.pid = os.fork()
            if command.pid == 0:
                become(command, request, self.config["procs"][request["phase"]])
            self.commands[request["cid"]] = command
        command.waiters.append((request["id"], request["limit"]))
        if command.ended:
            self.answer(command)

    def answer(self, command: Command) -> None:
        """Tell everyone who waits how the command ended."""
        command.ended = True
        for request_id, limit in command.waiters:
            self.send(request_id, *command.result(limit))
        command.waiters.clear()

    def reap(self) -> None:
        """Collect every dead child: commands, archive workers and orphans that were handed to process 1."""
        by_pid = {c.pid: c for c in self.commands.values() if c.status is None}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in by_pid:
                    command = by_pid[pid]
                    command.status = status
                    command.duration = time.monotonic() - command.started
                    if command.killing_since is None:
                        self.look_at_disk()
                        self.answer(command)
                elif pid in self.workers:
                    self.finish(pid, status)

    def tick(self) -> None:
        """Enforce time-outs; look at the disk while something runs."""
        now = time.monotonic()
        for command in self.commands.values():
            if command.ended or command.deadline is None or now < command.deadline:
                continue
            if command.killing_since is None:
                command.killing_since = now
            left = kill_marked(command.mark)
            if not left and command.status is not None:
                self.answer(command)
            elif left and now - command.killing_since > KILL_ALL_AFTER_S:
                os.kill(-1, signal.SIGKILL)
        if self.config["bounded"]:
            self.look_at_disk()

    # -- disk

    def look_at_disk(self) -> None:
        """Remember that the own bound was found full: less than 1 % (at least 1 MiB) or no inode left.

        A program that meets ENOSPC removes its file at once, hence the margin and the haste near the end.
        """
        if not self.disk_full and self.config["bounded"]:
            space = os.statvfs(SPOOL)
            free = space.f_bavail * space.f_frsize
            self.disk_full = free < max(1 << 20, space.f_blocks * space.f_frsize // 100) or space.f_favail == 0
            self.disk_pause = min(max(free / FILL_RATE / 2, DISK_TICKS_S[0]), DISK_TICKS_S[1])

    def on_disk(self, request: dict[str, Any], _body: bytes) -> None:
        """Whether the disk was found full since the last time this was asked."""
        self.look_at_disk()
        self.send(request["id"], {"full": self.disk_full})
        self.disk_full = False

    # -- archives, made and unpacked by workers so that time-outs go on meanwhile

    def on_put(self, request: dict[str, Any], body: bytes) -> None:
        """Unpack an archive below a folder."""
        if len(body) != request["size"] or sha256(body) != request["sha256"]:
            raise OSError(errno.EBADMSG, "the archive arrived damaged")
        from .archive import unpack  # noqa: PLC0415 - see load_archives

        self.start_worker(request["id"], lambda _out: unpack(body, request["dest"]))

    def on_get(self, request: dict[str, Any], _body: bytes) -> None:
        """Pack a file or folder."""
        from .archive import pack  # noqa: PLC0415 - see load_archives

        os.lstat(request["path"])
        self.start_worker(request["id"], lambda out: pack(request["path"], out, request["limit"]))

    def start_worker(self, request_id: int, work: Any) -> None:
        """Do `work(file)` in a child; what it writes to the file becomes the reply's body."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            work_and_exit(work, write_end)
        os.close(write_end)
        self.workers[pid] = (request_id, read_end)
        self.collected[read_end] = bytearray()
        self.selector.register(read_end, selectors.EVENT_READ)

    def collect(self, pipe: int) -> bool:
        """Take one piece from a worker; False at its end."""
        piece = os.read(pipe, 1 << 20)
        self.collected[pipe] += piece
        if not piece:
            self.selector.unregister(pipe)
            os.close(pipe)
        return bool(piece)

    def finish(self, pid: int, status: int) -> None:
        """A worker ended: reply with what it wrote."""
        request_id, pipe = self.workers.pop(pid)
        while pipe in self.selector.get_map() and self.collect(pipe):
            pass
        body = bytes(self.collected.pop(pipe))
        if status == 0:
            self.send(request_id, {"size": len(body), "sha256": sha256(body)}, body)
        else:
            report = body.rpartition(END_OF_ARCHIVE)[2] if END_OF_ARCHIVE in body else b"{}"
            self.send(request_id, {"error": f"worker ended with status {status}", **json.loads(report)})


def load_archives() -> None:
    """Import what archives need, which takes longer than all else: after the runner was told that we are ready."""
    import hashlib  # noqa: F401, PLC0415

    from . import archive  # noqa: F401, PLC0415


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    import hashlib  # noqa: PLC0415 - see load_archives

    return hashlib.sha256(data).hexdigest()


def work_and_exit(work: Any, pipe: int) -> NoReturn:
    """In an archive worker: do the work with a pipe for its result, or write what went wrong and exit 1."""
    signal.set_wakeup_fd(-1)
    try:
        with os.fdopen(os.dup(pipe), "wb") as out:
            work(out)
    except BaseException as error:  # noqa: BLE001 - told to the runner as text
        report = {"error": f"{type(error).__name__}: {error}", "errno": getattr(error, "errno", None)}
        os.write(pipe, END_OF_ARCHIVE + json.dumps(report).encode())
        os._exit(1)
    os._exit(0)


def main() -> NoReturn:
    """Take over the socket and the cgroup files named in the arguments; never returns."""
    config = json.loads(sys.argv[1])
    for fds in config["procs"].values():
        for fd in fds:
            os.set_inheritable(fd, False)
    link = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # or whoever is inside could end process 1 by it
    Supervisor(link, config).run()
