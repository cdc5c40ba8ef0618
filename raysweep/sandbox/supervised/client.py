"""The runner's end of the streams to one supervisor: many requests at once that outlive any stream.

All operations are idempotent by the supervisor's design, so a lost stream is replaced and every open request is sent
again. Only the container's end, the cap on time without a stream, or `close` ends a request without a reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from raysweep.clock import Clock, SystemClock
from raysweep.errors import BrokenSandboxError, SandboxError
from raysweep.sandbox.supervised.container import Channel, ContainerEndedError
from raysweep.sandbox.supervised.frames import (
    MAX_BODY,
    NO_SEAL,
    Frame,
    FrameError,
    FrameReader,
    Sealer,
    encode_head,
    stream_key,
)
from raysweep.sandbox.supervised.patience import Patience

_log = logging.getLogger(__name__)

PROTOCOL = "2"
PIECE = 1 << 18
"""Bytes handed to a channel at once, so that a large body shows that it moves."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Fields after `ok`, and the body."""

    fields: tuple[str, ...]
    body: bytes = b""

    def numbers(self, start: int, stop: int) -> tuple[int, ...]:
        """The fields from `start` up to `stop` as whole numbers; SandboxError("runner_lost") when they are none."""
        try:
            values = tuple(int(text) for text in self.fields[start:stop])
        except ValueError:
            values = ()
        if len(values) != stop - start:
            raise _nonsense(f"fields {self.fields[:stop]}")
        return values


def _nonsense(what: object) -> BrokenSandboxError:
    return BrokenSandboxError("runner_lost", f"the supervisor makes no sense: {what}")


class SupervisorError(Exception):
    """The supervisor could not do what was asked: `errno` (0 unknown) and its message."""

    def __init__(self, errno: int, message: str) -> None:
        self.errno = errno
        self.message = message
        super().__init__(f"{message} ({os.strerror(errno)})" if errno else message)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What `hello` told: process id, user id, cgroup version (0 unknown), CLOCK_BOOTTIME in seconds."""

    pid: int
    uid: int
    cgroup: int
    boottime: float


@dataclass(slots=True)
class _Open:
    head: bytes
    body: bytes
    body_limit: int
    future: asyncio.Future[Frame] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Client:
    """One supervisor. `open` first, `close` at the end; `ask` from any number of tasks between.

    `ended` is set when the container ended. `clock_offset`: the supervisor's wall clock minus ours in seconds, from
    the latest greeting or `tell_clock`, good to half the round trip. `down_s`: seconds without a stream so far.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Channel]],
        token: str,
        *,
        patience: Patience | None = None,
        clock: Clock | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.ended = asyncio.Event()
        self.clock_offset: float | None = None
        self.greeting: Greeting | None = None
        self._connect = connect
        self._token = token
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        self._uniform = uniform
        self._ids = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self._outbox: asyncio.Queue[int] = asyncio.Queue()
        self._greeted: asyncio.Future[Greeting] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._up = False
        self._down_before = 0.0
        self._down_since: float | None = None
        self._last_heard = 0.0

    # -- for users

    async def open(self) -> Greeting:
        """Connect for the first time; ContainerEndedError, or SandboxError("api_server") beyond the cap."""
        self._task = asyncio.create_task(self._serve())
        return await self._greeted

    async def ask(self, op: str, *args: str, body: bytes = b"", body_limit: int = MAX_BODY) -> Reply:
        """Send a request and wait for its reply, over as many streams as it takes.

        body_limit: bytes that the reply's body may have, if that is more than MAX_BODY.
        SupervisorError when the supervisor refuses, ContainerEndedError, SandboxError("api_server") beyond the cap,
        ValueError for an argument that holds a NUL, SandboxError("runner_lost") for a reply that is none.
        """
        if self._failure is not None:
            raise self._failure
        number = next(self._ids)
        request = _Open(encode_head((str(number), op, *args), len(body)), body, body_limit)
        self._open[number] = request
        self._outbox.put_nowait(number)
        try:
            return _reply(await request.future)
        except FrameError as error:
            raise _nonsense(error) from error
        finally:
            self._open.pop(number, None)

    async def tell_clock(self) -> tuple[float, float]:
        """(CLOCK_BOOTTIME, wall clock) of the supervisor in seconds, now; renews `clock_offset`."""
        before = self._clock.now()
        boottime, realtime = (micros / 1e6 for micros in (await self.ask("clock")).numbers(0, 2))
        self.clock_offset = realtime - (before + self._clock.now()) / 2
        return boottime, realtime

    @property
    def down_s(self) -> float:
        """Seconds without a stream since the first greeting."""
        since = self._down_since
        return self._down_before + (self._clock.monotonic() - since if since is not None else 0.0)

    async def close(self) -> None:
        """Give everything up; whoever still waits gets ContainerEndedError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._fail(ContainerEndedError("the sandbox was stopped"))

    # -- the life of streams

    async def _serve(self) -> None:
        try:
            await self._reconnecting()
        except (ContainerEndedError, SandboxError) as error:
            if isinstance(error, ContainerEndedError):
                self.ended.set()
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._fail(_nonsense(repr(error)))

    async def _reconnecting(self) -> None:
        """Keep a stream up; returns by exception only."""
        lost_at, pause = self._clock.monotonic(), self._patience.first
        while True:
            began, self._up = self._clock.monotonic(), False
            try:
                await self._one_stream()
            except (OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            now = self._clock.monotonic()
            if self._up:
                lost_at = self._down_since = now
                _log.warning("the stream to the sandbox was lost: %s; reconnecting", reason)
            else:
                _log.info("no stream to the sandbox for %.1f s: %s", now - lost_at, reason)
                pause = self._patience.first if now - began > self._patience.longest else pause
            if now - lost_at >= self._patience.cap:
                raise SandboxError("api_server", f"no stream to the sandbox for {now - lost_at:.0f} s: {reason}")
            await asyncio.sleep(pause * self._uniform(0.5, 1.0))
            pause = min(2 * pause, self._patience.longest)

    async def _one_stream(self) -> None:
        """From connecting to the loss of the stream, which is an OSError or TimeoutError."""
        async with asyncio.timeout(self._patience.greeting):
            channel = await self._connect()
        try:
            async with asyncio.timeout(self._patience.greeting):
                reader, sealer = await self._greet(channel)
            if self._down_since is not None:
                _log.info("reconnected to the sandbox after %.1f s", self._clock.monotonic() - self._down_since)
                self._down_before, self._down_since = self.down_s, None
            self._last_heard = self._clock.monotonic()
            self._up = True
            await self._exchange(channel, reader, sealer)
        finally:
            await channel.close()

    def _limit_of(self, number: str) -> int:
        request = self._open.get(int(number)) if number.isdecimal() else None
        return MAX_BODY if request is None else request.body_limit

    async def _greet(self, channel: Channel) -> tuple[FrameReader, Sealer]:
        """The token goes out in clear until the first greeting came, before which nothing of a task runs; never again.

        A request goes after the greeting at once: a supervisor drops whoever does not prove soon that he has the key.
        """
        before, nonce = self._clock.now(), secrets.token_hex(16)

        def sealer_for(fields: tuple[str, ...]) -> Sealer:
            return Sealer(stream_key(self._token, "to runner", nonce, fields[-1]))

        reader = FrameReader(self._limit_of, sealer_for)
        token = "" if self._greeted.done() else self._token
        await channel.send(encode_head(("0", "hello", nonce, token), 0) + NO_SEAL)
        while True:
            for frame in reader.feed(await _piece(channel)):
                told = _reply(frame)
                if told.fields[:1] != (PROTOCOL,):
                    raise _nonsense(f"it does not speak protocol {PROTOCOL}")
                pid, boottime, realtime, uid, cgroup = told.numbers(1, 6)
                self.clock_offset = realtime / 1e6 - (before + self._clock.now()) / 2
                self.greeting = Greeting(pid, uid, cgroup, boottime / 1e6)
                sealer = Sealer(stream_key(self._token, "to supervisor", nonce, frame.fields[-1]))
                proof = encode_head(("0", "clock"), 0)
                await channel.send(proof + sealer.whole(proof))
                if not self._greeted.done():
                    self._greeted.set_result(self.greeting)
                return reader, sealer

    async def _exchange(self, channel: Channel, reader: FrameReader, sealer: Sealer) -> None:
        """Send what is open, hand out what comes, until the stream breaks."""
        self._outbox = asyncio.Queue()
        for number in self._open:
            self._outbox.put_nowait(number)
        tasks = [
            asyncio.create_task(work)
            for work in (self._send(channel, sealer), self._receive(channel, reader), self._listen_for_silence())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _send(self, channel: Channel, sealer: Sealer) -> None:
        while True:
            request = self._open.get(await self._outbox.get())
            if request is None:
                continue
            if not request.body:
                await channel.send(request.head + sealer.whole(request.head))
                continue
            sealer.begin()
            sealer.add(request.head)
            await channel.send(request.head)
            for start in range(0, len(request.body), PIECE):
                piece = request.body[start : start + PIECE]
                sealer.add(piece)
                await channel.send(piece)
                self._last_heard = self._clock.monotonic()
            await channel.send(sealer.seal())

    async def _receive(self, channel: Channel, reader: FrameReader) -> None:
        while True:
            piece = await _piece(channel)
            self._last_heard = self._clock.monotonic()
            for frame in reader.feed(piece):
                request = self._open.get(_number(frame))
                if request is not None and not request.future.done():
                    request.future.set_result(frame)

    async def _listen_for_silence(self) -> None:
        """ConnectionError when a supervisor that was silent for long does not answer either."""
        silence = self._patience.silence
        while True:
            await asyncio.sleep(silence / 4)
            if self._clock.monotonic() - self._last_heard >= silence:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(silence):
                        await self.ask("clock")
                if self._clock.monotonic() - self._last_heard >= silence:
                    raise ConnectionError(f"the stream was silent for {2 * silence:.0f} s")

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        if not self._greeted.done():
            self._greeted.set_exception(error)
            self._greeted.exception()  # nobody may be waiting
        for request in self._open.values():
            if not request.future.done():
                request.future.set_exception(error)
                request.future.exception()


async def _piece(channel: Channel) -> bytes:
    data = await channel.receive()
    if not data:
        raise ConnectionError("the stream was closed")
    return data


def _number(frame: Frame) -> int:
    with contextlib.suppress(ValueError):
        return int(frame.fields[0])
    raise FrameError(f"a frame for request {frame.fields[0][:40]!r}")


def _reply(frame: Frame) -> Reply:
    """The reply in a frame; SupervisorError for `error`, FrameError for neither."""
    kind, rest = frame.fields[1:2], frame.fields[2:]
    if kind == ("ok",):
        return Reply(rest, frame.body)
    if kind == ("error",) and rest:
        raise SupervisorError(int(rest[0]) if rest[0].isdigit() else 0, " ".join(rest[1:]))
    raise FrameError(f"a reply of kind {kind}")
