"""One local sandbox: made in a thread, started from the event loop's thread, measured each second, removed whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysweep.errors import BrokenSandboxError, SandboxError
from raysweep.record.evidence import CommandFacts, PhaseCounters
from raysweep.sandbox.cgroup.bounds import Bounds, read_limit, read_request
from raysweep.sandbox.cgroup.reading import reset_peak
from raysweep.sandbox.cgroup.recorder import PhaseRecorder
from raysweep.sandbox.environment import BASE_ENV
from raysweep.sandbox.local.area import create_area
from raysweep.sandbox.local.command import bwrap_command, join_command, mount_command, supervisor_command
from raysweep.sandbox.local.disk import make_image, remove_tree
from raysweep.sandbox.local.groups import SandboxGroups, create_groups, locked, remove_groups
from raysweep.sandbox.local.host import Host
from raysweep.sandbox.local.link import Link, LinkClosedError
from raysweep.sandbox.local.names import Home, run_name, safe
from raysweep.sandbox.local.shield import open_filter
from raysweep.sandbox.protocol import ARCHIVE_LIMIT, Admitted, ExecResult, FinalFacts, SandboxSpec
from raysweep.units import Resources
from raysweep.vocabulary import Phase

LAUNCHER_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
END_WAIT_S = 60.0


class LocalSandbox:
    """Implements `raysweep.sandbox.protocol.Sandbox`; see there for what each method promises."""

    def __init__(self, spec: SandboxSpec, host: Host) -> None:
        self.spec = spec
        self.host = host
        home = str(Home(safe(spec.name), host.owner))
        run = host.run_group(spec.run_id)
        self.folder = host.scratch / run_name(spec.run_id) / home
        self.groups = SandboxGroups(run, run.child(home), (run, *host.ancestors))
        self.bounded = spec.limit.storage is not None and host.disk_problem is None
        self.recorder = PhaseRecorder(host.version)
        self.died_in: str | None = None
        self._ready_at = 0.0
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: asyncio.Task[Admitted] | None = None
        self._stopping: asyncio.Task[FinalFacts] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._phase_lock = asyncio.Lock()

    # -- life

    async def start(self) -> Admitted:
        """Create it; SandboxError("scheduling") when it cannot be made."""
        self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> Admitted:
        try:
            await asyncio.to_thread(self._build)
            await self._launch()
        except (OSError, TimeoutError, LinkClosedError) as error:
            detail = await asyncio.to_thread(self._launch_errors)
            raise SandboxError(
                "scheduling", f"the local sandbox could not be made: {error} {detail}".strip()
            ) from error
        self._ready_at = time.monotonic()
        self.host.log.watch(self.groups.suffix)
        await self._open_phase("setup")
        self._sampling = asyncio.create_task(self._sample())
        limit, request = await asyncio.to_thread(self._bounds_now)
        return Admitted(request=request, limit=limit, node=self.host.facts(), image_pulled=False)

    def _build(self) -> None:
        spec = self.spec
        with locked(self.host.scratch):  # or the run's folder could be removed while it is still empty
            self.folder.mkdir(parents=True)
        bounds = Bounds(spec.limit.memory, spec.limit.cpu, spec.pids, spec.request.memory, spec.request.cpu)
        create_groups(
            self.groups, self.host.scratch, bounds=bounds, run_memory=self.host.run_memory, swap=self.host.swap
        )
        area = self.folder / "area"
        area.mkdir()
        resolv = Path("/etc/resolv.conf") if spec.network else None
        text = resolv.read_text() if resolv is not None and resolv.exists() else None
        content = self.folder / "content" if self.bounded else area
        create_area(content, self.host.view, spec.workdir, resolv=text)
        if self.bounded:
            assert spec.limit.storage is not None  # noqa: S101 - tells mypy what `bounded` means
            make_image(self.folder / "disk", spec.limit.storage, content)

    async def _launch(self) -> None:
        """Start bubblewrap from this thread: it dies with the thread that starts it, and a worker thread may end."""
        ours, theirs = socket.socketpair()
        fds: dict[str, list[int]] = {}
        filter_fd = open_filter()
        try:
            for phase in Phase:
                fds[phase] = [os.open(path, os.O_WRONLY) for path in self.groups.leaf(phase).procs_files()]
            with (self.folder / "stderr").open("wb") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - vfork and exec only: about a millisecond
                    self._argv(fds, filter_fd),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=LAUNCHER_ENV,
                    cwd="/",
                    pass_fds=[filter_fd, *(fd for group in fds.values() for fd in group)],
                    start_new_session=True,
                )
        finally:
            theirs.close()
            for fd in (filter_fd, *(fd for group in fds.values() for fd in group)):
                os.close(fd)
        self._link = Link()
        await self._link.open(ours)
        async with asyncio.timeout(self.host.options.start_timeout_s):
            await self._link.ready

    def _argv(self, fds: Mapping[str, Sequence[int]], filter_fd: int) -> list[str]:
        area = self.folder / "area"
        inner = supervisor_command(fds, bounded=self.bounded)
        argv = bwrap_command(
            self.host.bwrap, area, self.host.view, network=self.spec.network, inner=inner, filter_fd=filter_fd
        )
        if self.bounded:
            argv = mount_command(self.folder / "disk", area, argv)
        return join_command(self.groups.keeper.procs_files(), argv)

    def _launch_errors(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "stderr").read_text(errors="replace")[-2000:].strip()
        return ""

    async def stop(self) -> FinalFacts:
        """Read the last facts, then remove every trace."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return await asyncio.shield(self._stopping)

    async def _stop(self) -> FinalFacts:
        started = False
        if self._starting is not None:
            await asyncio.wait({self._starting})
            started = self._starting.exception() is None
        if self._sampling is not None:
            if self.died_in is None and self._link is not None and self._link.closed.is_set():
                self.died_in = self.recorder.phase  # the end came while a sample was read, which is now given up
            self._sampling.cancel()
            await asyncio.wait({self._sampling})
        final_facts = FinalFacts(actual_request=self.spec.request, actual_limit=self.spec.limit)
        if started:
            await self._note_now()
            self.recorder.close(self.host.log.kills(self.groups.suffix))
            limit, request = await asyncio.to_thread(self._bounds_now)
            killed = await asyncio.to_thread(self._killed_from_outside)
            final_facts = FinalFacts(
                actual_request=request,
                actual_limit=limit,
                counters=dict(self.recorder.closed),
                samples=tuple(self.recorder.samples),
                died_in=self.died_in,
                platform=None if killed is None else "node_lost",
                platform_detail=killed,
            )
        await asyncio.to_thread(self._remove)
        if self._link is not None:
            await self._link.close()
        self.host.log.forget(self.groups.suffix)
        return final_facts

    def _killed_from_outside(self) -> str | None:
        """What says that it was killed: no signal from inside kills process 1 of its own namespace."""
        if self.died_in is None or self._process is None:
            return None
        try:
            code = self._process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            return None
        killed = code in {-signal.SIGKILL, 128 + signal.SIGKILL}
        return "the sandbox's process 1 was killed from outside" if killed else None

    def _remove(self) -> None:
        remove_groups(self.groups.run, self.groups.home, self.host.scratch)
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_WAIT_S)
        remove_tree(self.folder)
        with contextlib.suppress(OSError), locked(self.host.scratch):  # other sandboxes of this run are there
            self.folder.parent.rmdir()

    # -- commands and files

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,
    ) -> ExecResult:
        """Run `argv` exactly once per `command_id`."""
        request: dict[str, Any] = {
            "op": "exec",
            "cid": command_id,
            "argv": list(argv),
            "env": {**BASE_ENV, **self.spec.env, **(env or {})},
            "cwd": cwd or self.spec.workdir,
            "timeout": timeout_s,
            "limit": output_limit,
            "phase": self.recorder.phase,
        }
        try:
            reply, body = await self._running().ask(request, body_limit=2 * output_limit)
        except LinkClosedError:
            return ExecResult(CommandFacts())
        if "error" in reply:
            raise BrokenSandboxError("runner_lost", f"the supervisor could not start a command: {reply['error']}")
        facts = CommandFacts(reply["exit"], reply["signal"], reply["timed_out"], reply["duration"])
        length = reply["out_len"]
        return ExecResult(facts, body[:length], body[length:], reply["out_total"], reply["err_total"])

    async def put(self, archive: bytes, dest: str) -> None:
        """Unpack a tar archive below `dest`; OSError when it does not fit or cannot be written."""
        digest = (await asyncio.to_thread(hashlib.sha256, archive)).hexdigest()
        try:
            request = {"op": "put", "dest": dest, "size": len(archive), "sha256": digest}
            reply, _ = await self._running().ask(request, archive)
        except LinkClosedError as error:
            raise _shut_down(dest) from error
        if "error" in reply:
            raise OSError(reply.get("errno") or errno.EIO, f"cannot put files at {dest}: {reply['error']}")

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """The file or folder at `path` as a tar archive whose names begin with the last part of `path`."""
        try:
            reply, body = await self._running().ask({"op": "get", "path": path, "limit": limit}, body_limit=limit)
        except LinkClosedError as error:
            raise _shut_down(path) from error
        if reply.get("errno") in {errno.ENOENT, errno.ENOTDIR}:
            raise FileNotFoundError(errno.ENOENT, "not in the sandbox", path)
        if "error" in reply:
            raise OSError(reply.get("errno") or errno.EIO, f"cannot get {path}: {reply['error']}")
        digest = (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
        if len(body) != reply["size"] or digest != reply["sha256"]:
            raise OSError(errno.EBADMSG, f"the archive of {path} arrived damaged")
        return body

    def _running(self) -> Link:
        if self._link is None:
            raise SandboxError("runner_lost", "the sandbox was not started")
        return self._link

    # -- evidence

    async def begin_phase(self, phase: str) -> None:
        """Close the phase under way and open `phase`."""
        await self._note_now()
        self.recorder.close(self.host.log.kills(self.groups.suffix))
        await self._open_phase(phase)

    async def counters(self) -> PhaseCounters:
        """Counters of the phase under way."""
        await self._note_now()
        return self.recorder.counters(self.host.log.kills(self.groups.suffix))

    async def _open_phase(self, phase: str) -> None:
        async with self._phase_lock:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(reset_peak, self.groups.task)
            reading = await asyncio.to_thread(self.groups.read, phase)
            kills = self.host.log.kills(self.groups.suffix)
            self.recorder.begin(phase, reading, time.monotonic() - self._ready_at, len(kills))
            if self.spec.limit.storage is None or self.bounded:
                self.recorder.note_disk(full=False)

    async def _note_now(self) -> None:
        """One reading, and a look at the disk bound where there is one."""
        async with self._phase_lock:
            reading = await asyncio.to_thread(self.groups.read, self.recorder.phase)
            self.recorder.note(reading, time.monotonic() - self._ready_at)
        if self.bounded and self._link is not None:
            with contextlib.suppress(LinkClosedError, TimeoutError):
                async with asyncio.timeout(END_WAIT_S):
                    reply, _ = await self._link.ask({"op": "disk"})
                    self.recorder.note_disk(reply["full"])

    async def _sample(self) -> None:
        """A reading each second, until the sandbox ends by itself."""
        closed = self._running().closed
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.host.options.sample_s):
                    await closed.wait()
                self.died_in = self.recorder.phase
            async with self._phase_lock:
                reading = await asyncio.to_thread(self.groups.read, self.recorder.phase)
                self.recorder.note(reading, time.monotonic() - self._ready_at)
            if self.died_in is not None:
                return

    def _bounds_now(self) -> tuple[Resources, Resources]:
        """(limit, request) as the kernel holds them now; storage only where it is enforced."""
        limit = read_limit(self.groups.task)
        request = read_request(self.groups.task, self.spec.request)
        storage = self.spec.limit.storage if self.bounded else None
        return replace(limit, storage=storage), replace(request, storage=self.spec.request.storage)


def _shut_down(path: str) -> OSError:
    return OSError(errno.ESHUTDOWN, "the sandbox has ended", path)
