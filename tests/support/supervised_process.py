"""A container made of namespaces and cgroups on this machine, with the real supervisor as its process 1.

It has what pods and Docker have: own processes, files and cgroup bounds, a keeper with the same spool, streams that
can be cut. Its platform's word is whatever a test says.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import platform
import secrets
import shutil
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

from raysweep.sandbox.cgroup.bounds import Bounds, apply_bounds
from raysweep.sandbox.cgroup.place import find_parent
from raysweep.sandbox.local.area import create_area, layers, look_at_host
from raysweep.sandbox.local.disk import remove_tree
from raysweep.sandbox.protocol import Capabilities
from raysweep.sandbox.supervised.container import ContainerEndedError, Ending, Made
from raysweep.sandbox.supervised.frames import digest_of, keeper_proof
from raysweep.sandbox.supervised.sandbox import SupervisedSandbox
from raysweep.sandbox.supervisor import PLACE, SPOOL, binary

JOIN = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 > "$1" || exit 97; shift; n=$((n - 1)); done; exec "$@"'
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_numbers = itertools.count(1)


class SocketChannel:
    """A direct connection to the supervisor's socket; `cut` breaks it as a network does."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self):
        return await self.reader.read(1 << 16)

    async def close(self):
        self.cut()

    def cut(self):
        self.writer.transport.abort()


class PrintedChannel:
    """What a process prints, to its end."""

    def __init__(self, process):
        self.process = process

    async def receive(self):
        return await self.process.stdout.read(1 << 16)

    async def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


async def connect_socket(name):
    reader, writer = await asyncio.open_unix_connection(f"\0raysweep-{name}")
    return SocketChannel(reader, writer)


def _parent(pid):
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


@functools.cache
def ground():
    """Where the cgroups of all containers go; looked for once, since others look for theirs at the same time."""
    return find_parent(None)


class ProcessContainer:
    """See raysweep.sandbox.supervised.container.Container.

    `channels`: every stream there was. `reachable`: False refuses new ones. `word`: what `ending` says of an ended one.
    """

    def __init__(self, spec, home, scratch):
        self.spec, self.home = spec, home
        self.name = f"{os.getpid()}-{next(_numbers)}"
        self.group, self.folder = home.parent.child(self.name), scratch / self.name
        self.token = secrets.token_hex(16)
        self.environment = {}
        self.channels = []
        self.reachable = True
        self.word = Ending(ended=True)
        self.admitted = replace(spec.limit, storage=None)  # nothing here bounds the disk
        self.process = self.keeper = self.building = None

    async def create(self):
        # Shielded: a thread goes on when whoever waits for it is cancelled, and `remove` must come after it.
        self.building = asyncio.create_task(asyncio.to_thread(self._build))
        await asyncio.shield(self.building)
        procs = list(map(str, self.group.procs_files()))
        joined = ["/bin/sh", "-c", JOIN, "join", str(len(procs)), *procs]
        proof = digest_of(keeper_proof(self.token))
        self.keeper = self._start(
            [str(binary(platform.machine())), "keep", f"keeper-{self.name}", proof, str(self.folder / "kept")]
        )
        namespaces = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
        self.process = self._start([*joined, *namespaces, "/bin/sh", "-ec", self._mounts()])
        return Made(self.spec.request, self.admitted, {"name": "here"}, image_pulled=False)

    def _start(self, argv):
        with (self.folder / "stderr").open("ab") as errors:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
            env = {**CLEAN, **self.environment}
            return subprocess.Popen(argv, start_new_session=True, env=env, **streams)

    def _build(self):
        spec = self.spec
        self.home.make(self.group)
        apply_bounds(self.group, Bounds(spec.limit.memory, spec.limit.cpu, spec.pids), swap=False)
        self.view = look_at_host(None)
        create_area(self.folder, self.view, spec.workdir)
        root = self.folder / "root"
        for name, target in self.view.symlinks.items():
            (root / name).symlink_to(target)
        for path in (PLACE.rpartition("/")[0], SPOOL, "/sys"):
            (root / path.strip("/")).mkdir(parents=True)
        for path in ("spool", "kept", "supervisor"):
            (self.folder / path).mkdir(exist_ok=True)
        shutil.copy(binary(platform.machine()), self.folder / "supervisor")
        (self.folder / "supervisor" / binary(platform.machine()).name).rename(self.folder / "supervisor/supervisor")

    def _mounts(self):
        root, lines = self.folder / "root", []
        for layer in layers(self.view):
            sides = f"upperdir={self.folder}/up/{layer},workdir={self.folder}/work/{layer}"
            lines.append(f"mount -t overlay overlay -o lowerdir={self.view.overlays[layer]},{sides} {root}/{layer}")
        lines += [
            f"mount --bind {self.folder}/spool {root}{SPOOL}",
            f"mount --bind {self.folder}/supervisor {root}{PLACE.rpartition('/')[0]}",
            f"mount -o remount,bind,ro {root}{PLACE.rpartition('/')[0]}",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs none {root}/sys",
        ]
        if self.group.version == 1:
            for controller, folder in self.group.dirs.items():
                place = f"{root}/sys/fs/cgroup/{controller}"
                lines += [f"mkdir -p {place}", f"mount --bind {folder} {place}", f"mount -o remount,bind,ro {place}"]
        else:
            place = f"{root}/sys/fs/cgroup"
            lines += [f"mkdir -p {place}", f"mount --bind {self.group.folders[0]} {place}"]
            lines += [f"mount -o remount,bind,ro {place}"]
        lines += [f"mount -t proc proc {root}/proc"]
        caps = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"
        lines += [
            (
                f"exec chroot {root} {caps} {PLACE} init task-{self.name} {SPOOL} {digest_of(self.token)}"
                f" keeper-{self.name}"
            )
        ]
        return "\n".join(lines)

    async def connect(self):
        if self.process.poll() is not None:
            raise ContainerEndedError(f"ended with {self.process.returncode}: {self.errors()}")
        if not self.reachable:
            raise ConnectionRefusedError("not reachable, says the test")
        channel = await connect_socket(f"task-{self.name}")
        self.channels.append(channel)
        return channel

    async def connect_keeper(self):
        if self.keeper is None:
            return None
        command = [str(binary(platform.machine())), "kept", str(self.folder / "kept")]
        return PrintedChannel(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))

    async def ending(self):
        ended = self.process is not None and self.process.poll() is not None
        return self.word if ended else Ending()

    async def remove(self):
        if self.building is not None:
            await asyncio.wait({self.building})
        await asyncio.to_thread(self._remove)

    def _remove(self):
        for process in (self.process, self.keeper):  # first: one that has not joined the cgroup yet never will
            if process is not None:
                process.kill()
                process.wait()
        if self.group.exists():
            self.group.kill()
        self.home.remove(self.group)
        if self.folder.exists():
            remove_tree(self.folder)

    # -- what tests do to it

    def cut(self):
        """Break every stream."""
        for channel in self.channels:
            channel.cut()
        self.channels.clear()

    def kill_all(self):
        """SIGKILL to everything inside as a group kill does it, process 1 first: nobody is left to tell of others."""
        for pid in sorted(self.group.pids(), key=lambda pid: _parent(pid) != self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def errors(self):
        return (self.folder / "stderr").read_text(errors="replace")[-500:]


class Home:
    """The cgroup in which all containers of a provider are, with at most `memory` bytes; gone with its last one."""

    def __init__(self, parent, memory):
        self.parent, self.memory, self.lock = parent, memory, threading.Lock()

    def make(self, group):
        with self.lock:
            if self.parent.create():
                apply_bounds(self.parent, Bounds(memory=self.memory), swap=False)
                self.parent.delegate()
            group.create()

    def remove(self, group):
        with self.lock:
            group.remove()
            self.parent.remove_if_empty()


class ProcessProvider:
    """The parts of a SandboxProvider that the conformance suite needs; `memory`: room of all its sandboxes together."""

    kind = "process"

    def __init__(self, scratch, memory=None, kernel_log=None):
        self.scratch, self.kernel_log = Path(scratch), kernel_log
        # No name of a run: a clean-up elsewhere would take it while it is empty.
        self.home = Home(ground().child(f"process-raysweep-{os.getpid()}"), memory)
        self.made = []

    def capabilities(self):
        return Capabilities("enforced", "enforced", "enforced", "none", "process", cgroup=self.home.parent.version)

    async def prepare(self, run_id):
        return {}

    async def gc(self, run_id, *, keep=frozenset()):
        return []

    def container(self, spec):
        return ProcessContainer(spec, self.home, self.scratch)

    def open(self, spec, **options):
        container = self.container(spec)
        self.made.append(container)
        if self.kernel_log is not None:
            suffix = f"/{self.home.parent.name}/{container.group.name}"
            self.kernel_log.watch(suffix)
            options["kills"] = lambda: self.kernel_log.kills(suffix)
        return SupervisedSandbox(spec, container, **options)

    def traces(self):
        found = {str(p) for folder in self.home.parent.folders for p in folder.glob("**/")}
        found |= {str(p) for p in self.scratch.glob("*")}
        found |= {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.scratch) in line}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                mine = [f"{kind}-{container.name}".encode() for container in self.made for kind in ("task", "keeper")]
                if b"init" in words and any(word in mine for word in words):
                    found.add(f"process {path.parent.name}")
        return found
