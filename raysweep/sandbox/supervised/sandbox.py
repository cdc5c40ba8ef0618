"""A sandbox made of a container and the supervisor that is its process 1; what pods and Docker share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence

from raysweep.clock import Clock
from raysweep.errors import BrokenSandboxError, SandboxError
from raysweep.record.evidence import CommandFacts, PhaseCounters
from raysweep.sandbox.cgroup.kmsg import Kill
from raysweep.sandbox.environment import BASE_ENV
from raysweep.sandbox.protocol import ARCHIVE_LIMIT, Admitted, ExecResult, FinalFacts, SandboxSpec
from raysweep.sandbox.supervised.client import Client, Reply, SupervisorError
from raysweep.sandbox.supervised.container import Container, ContainerEndedError, Ending, Made
from raysweep.sandbox.supervised.frames import encode_head
from raysweep.sandbox.supervised.inside import difference
from raysweep.sandbox.supervised.measure import Meter
from raysweep.sandbox.supervised.patience import Patience
from raysweep.units import Resources

POLL_MS = 30_000


class SupervisedSandbox:
    """Implements `raysweep.sandbox.protocol.Sandbox`; see there for what each method promises.

    env: environment of every command below the image's own. kills: the kernel log's OOM kills in this container where
    the backend can read the log, oldest first. After the container ended by itself, `put` and `get` are OSError
    (ESHUTDOWN): why it ended is known when it is stopped.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        container: Container,
        *,
        env: Mapping[str, str] = BASE_ENV,
        patience: Patience | None = None,
        clock: Clock | None = None,
        kills: Callable[[], Sequence[Kill]] = tuple,
    ) -> None:
        self.spec = spec
        self.container = container
        self._env: Mapping[str, str] = env
        self._patience = patience or Patience()
        self._clock = clock
        self._kills = kills
        self._ids = secrets.token_hex(8)
        self._client: Client | None = None
        self._meter: Meter | None = None
        self._made: Made | None = None
        self._starting: asyncio.Task[Admitted] | None = None
        self._stopping: asyncio.Task[FinalFacts] | None = None

    # -- life

    async def start(self) -> Admitted:
        """Create it; SandboxError when the platform cannot, or when it altered what was asked."""
        self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> Admitted:
        made = self._made = await self.container.create()
        client = Client(self.container.connect, self.container.token, patience=self._patience, clock=self._clock)
        self._client = client
        try:
            await client.open()
            meter = Meter(client, made, self._kills)
            admitted = await meter.start()
            self._env = {**self._env, **await _image_environment(client)}
        except ContainerEndedError as error:
            ending = await self.container.ending()
            detail = ending.platform_detail or f"the container ended as it started: {error}"
            raise SandboxError(ending.platform or "node_lost", detail) from error
        except (SupervisorError, ValueError) as error:
            raise SandboxError("runner_lost", f"the supervisor cannot be used: {error}") from error
        self._meter = meter
        return admitted

    async def stop(self) -> FinalFacts:
        """Read the last facts, then remove every trace."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return await asyncio.shield(self._stopping)

    async def _stop(self) -> FinalFacts:
        final_facts = FinalFacts(actual_request=self.spec.request, actual_limit=self.spec.limit)
        if self._starting is None:
            return final_facts
        self._starting.cancel()  # an unfinished start may still wait for an image
        await asyncio.wait({self._starting})
        try:
            if self._meter is not None and self._made is not None:
                final_facts = await self._last_facts(self._meter, self._made)
        finally:
            if self._client is not None:
                await self._client.close()
            await self.container.remove()
        return final_facts

    async def _last_facts(self, meter: Meter, made: Made) -> FinalFacts:
        trouble: SandboxError | None = None
        try:
            await meter.finish()
        except SandboxError as error:
            trouble = error
        ending = await self.container.ending()
        died_in = None
        if meter.ended or ending.ended:
            died_in = meter.recorder.phase
            await self._ask_keeper(meter)
            meter.recorder.note_end(oom_killed=ending.oom_killed)
            trouble = None  # there was no stream because there was no container
        meter.close()
        client = meter.client
        request = ending.request or made.request
        changed = difference(made.request, request)
        platform, detail = ending.platform if died_in is not None else None, ending.platform_detail
        broken = trouble.detail if isinstance(trouble, BrokenSandboxError) else None
        if platform is None and trouble is not None and broken is None:
            platform, detail = trouble.cause, trouble.detail
        elif platform is None and changed is not None and died_in is None:
            platform, detail = "altered", f"request at the end: {changed}"
        return FinalFacts(
            actual_request=request,
            actual_limit=_limit_at_end(made, ending, meter.limit),
            counters=dict(meter.recorder.closed),
            samples=tuple(meter.recorder.samples),
            died_in=died_in,
            evicted=ending.evicted,
            platform=platform,
            platform_detail=detail,
            broken=broken,
            transport_down_s=client.down_s,
            node={**ending.node, "clock_offset_end_s": client.clock_offset},
        )

    async def _ask_keeper(self, meter: Meter) -> None:
        """The rows that the keeper still has of a container that ended."""
        with contextlib.suppress(ContainerEndedError, SandboxError):
            await meter.read_kept(self.container.connect_keeper, self._patience)

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
        client, command_id = self._running(), f"{command_id}-{self._ids}"  # nobody inside can guess it
        merged = [f"{name}={value}" for name, value in {**self._env, **self.spec.env, **(env or {})}.items()]
        timeout = "-1" if timeout_s is None else str(max(0, round(timeout_s * 1000)))
        request = (command_id, timeout, cwd or self.spec.workdir, str(len(merged)), *merged, str(len(argv)), *argv)
        try:
            encode_head(request, 0)
        except ValueError as error:  # as a kernel's refusal to start it would look
            message = f"raysweep: cannot run the command: {error}\n".encode()
            return ExecResult(CommandFacts(exit=126), stderr=message, stderr_bytes=len(message))
        try:
            await client.ask("exec", *request)
            while True:
                reply = await client.ask(
                    "wait", command_id, str(output_limit), str(POLL_MS), body_limit=2 * output_limit
                )
                if reply.fields[:1] == ("ended",):
                    return _result(reply)
        except ContainerEndedError:
            return ExecResult(CommandFacts())
        except SupervisorError as error:
            raise BrokenSandboxError("runner_lost", f"the supervisor could not run a command: {error}") from error

    async def put(self, archive: bytes, dest: str) -> None:
        """Unpack a tar archive below `dest`; OSError when it does not fit or cannot be written."""
        client = self._running()
        digest = (await asyncio.to_thread(hashlib.sha256, archive)).hexdigest()
        try:
            await client.ask("put", dest, digest, body=archive)
        except ContainerEndedError as error:
            raise _shut_down(dest) from error
        except SupervisorError as error:
            code = error.errno or errno.EIO
            text = f"cannot put files at {dest}: {error.message} ({os.strerror(code)})"
            raise OSError(code, text) from error

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """The file or folder at `path` as a tar archive whose names begin with the last part of `path`."""
        try:
            reply = await self._running().ask("get", path, str(limit), body_limit=limit)
        except ContainerEndedError as error:
            raise _shut_down(path) from error
        except SupervisorError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise FileNotFoundError(errno.ENOENT, "not in the sandbox", path) from error
            raise OSError(error.errno or errno.EIO, f"cannot get {path}: {error}") from error
        digest = (await asyncio.to_thread(hashlib.sha256, reply.body)).hexdigest()
        if reply.fields[:2] != (str(len(reply.body)), digest):
            raise OSError(errno.EBADMSG, f"the archive of {path} arrived damaged")
        return reply.body

    def _running(self) -> Client:
        if self._client is None:
            raise SandboxError("runner_lost", "the sandbox was not started")
        return self._client

    # -- evidence

    async def begin_phase(self, phase: str) -> None:
        """Close the phase under way and open `phase`; an ended container stays in the phase in which it ended."""
        await self._metered().begin_phase(phase)

    async def counters(self) -> PhaseCounters:
        """Counters of the phase under way."""
        return await self._metered().counters()

    def _metered(self) -> Meter:
        if self._meter is None:
            raise SandboxError("runner_lost", "the sandbox was not started")
        return self._meter


def _result(reply: Reply) -> ExecResult:
    code, number, timed_out, micros, out_length, out_total, err_total = reply.numbers(1, 8)
    facts = CommandFacts(
        exit=code if code >= 0 else None,
        signal=number if number >= 0 and code < 0 else None,
        timed_out=bool(timed_out),
        duration_s=micros / 1e6,
    )
    return ExecResult(facts, reply.body[:out_length], reply.body[out_length:], out_total, err_total)


def _limit_at_end(made: Made, ending: Ending, inside: Resources | None) -> Resources:
    """Whatever says that the limit is another now, the kernel's files or the platform; else as admitted."""
    for limit in (inside, ending.limit):
        if limit is not None and difference(made.limit, limit) is not None:
            return limit
    return inside or ending.limit or made.limit


def _shut_down(path: str) -> OSError:
    return OSError(errno.ESHUTDOWN, "the sandbox has ended", path)


async def _image_environment(client: Client) -> dict[str, str]:
    """The environment that the image gave to process 1, without what the platform added."""
    reply = await client.ask("environment")
    pairs = (os.fsdecode(entry).partition("=") for entry in reply.body.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs if not name.startswith(("KUBERNETES_", "RAYSWEEP_"))}
