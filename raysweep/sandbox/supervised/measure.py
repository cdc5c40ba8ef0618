"""Readings of one container over its phases, asked of its supervisor and kept in a recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from raysweep.errors import BrokenSandboxError, SandboxError
from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.cgroup.files import Texts
from raysweep.sandbox.cgroup.kmsg import Kill
from raysweep.sandbox.cgroup.reading import Reading, read_task
from raysweep.sandbox.protocol import Admitted
from raysweep.sandbox.supervised.client import Client, SupervisorError
from raysweep.sandbox.supervised.container import Channel, ContainerEndedError, Made
from raysweep.sandbox.supervised.inside import (
    difference,
    facts_inside,
    limit_inside,
    parse_counters,
    reserved_memory,
    swap_beside,
)
from raysweep.sandbox.supervised.patience import Patience
from raysweep.sandbox.supervised.recorder import ContainerRecorder
from raysweep.sandbox.supervised.samples import parse_rows
from raysweep.units import Resources

MAX_KEPT = 16 << 20
"""Bytes of a keeper's samples; it holds half as much at most."""
KEEPER_PAUSES_S = (0.5, 2.0, 5.0, 10.0)


class Meter:
    """`recorder` holds the readings, `limit` the bounds of the latest one; `ended`: the container has ended."""

    def __init__(self, client: Client, made: Made, kills: Callable[[], Sequence[Kill]]) -> None:
        self.client = client
        self.made = made
        self.kills = kills
        self.limit: Resources | None = None
        self.ended = False
        self.recorder = ContainerRecorder(0, 0.0)
        self._next_row = 0
        self._now = 0.0
        self._lock = asyncio.Lock()

    async def start(self) -> Admitted:
        """First reading: bounds compared with the platform's word, SandboxError("altered") when they differ."""
        texts = await self._texts()
        limit = limit_inside(texts, self.made.limit)
        changed = difference(self.made.limit, limit)
        if changed is not None:
            raise SandboxError("altered", f"limit inside at the start: {changed}")
        if swap_beside(texts):
            raise SandboxError("altered", "the memory limit does not bound swap, of which the machine has some")
        boottime, _ = await self.client.tell_clock()
        self.recorder = ContainerRecorder(texts.version, boottime, reserved_memory(texts, self.made.node))
        self.recorder.begin("setup", read_task(texts) if texts.version else Reading(), 0.0, len(self.kills()))
        node = {**facts_inside(texts), **self.made.node, "clock_offset_s": self.client.clock_offset}
        return Admitted(request=self.made.request, limit=limit, node=node, image_pulled=self.made.image_pulled)

    async def begin_phase(self, phase: str) -> None:
        """Close the phase under way and open `phase`."""
        reading = await self._note()
        if reading is not None:
            kills = self.kills()
            self.recorder.close(kills)
            self.recorder.begin(phase, reading, self._now, len(kills))

    async def counters(self) -> PhaseCounters:
        """Counters of the phase under way, up to the last reading where the container ended."""
        await self._note()
        return self.recorder.counters(self.kills())

    async def finish(self) -> None:
        """The last reading, if there still is anything to read."""
        await self._note()

    def close(self) -> None:
        """Close the last phase."""
        self.recorder.close(self.kills())

    async def read_kept(self, connect: Callable[[], Awaitable[Channel | None]], patience: Patience) -> None:
        """Add the rows that the keeper has of a container that ended; nothing when it cannot be reached."""
        for pause in KEEPER_PAUSES_S:
            try:
                async with asyncio.timeout(patience.greeting):
                    text = await _read_all(connect)
            except (OSError, TimeoutError):
                await asyncio.sleep(pause)
                continue
            self.recorder.add_rows(parse_rows(text))
            return

    async def _texts(self) -> Texts:
        greeting = self.client.greeting
        assert greeting is not None  # noqa: S101 - `open` came before
        return parse_counters(await self.client.ask("counters"), greeting.cgroup)

    async def _note(self) -> Reading | None:
        """Read everything once; None when the container has ended."""
        if self.ended:
            return None
        async with self._lock:
            return await self._read()

    async def _read(self) -> Reading | None:
        try:
            texts = await self._texts()
            boottime, _ = await self.client.tell_clock()
            reply = await self.client.ask("samples", str(self._next_row))
        except ContainerEndedError:
            self.ended = self.client.ended.is_set()
            return None
        except (SupervisorError, ValueError) as error:
            raise BrokenSandboxError("runner_lost", f"the supervisor does not tell counters: {error}") from error
        self._now = boottime - self.recorder.ready
        self._next_row = reply.numbers(0, 1)[0]
        self.limit = limit_inside(texts, self.made.limit)
        reading = read_task(texts) if texts.version else Reading()
        self.recorder.add_rows(parse_rows(reply.body.decode(errors="replace")))
        self.recorder.note(reading, self._now)
        return reading


async def _read_all(connect: Callable[[], Awaitable[Channel | None]]) -> str:
    channel = await connect()
    if channel is None:
        return ""
    text = bytearray()
    try:
        while len(text) < MAX_KEPT and (piece := await channel.receive()):
            text += piece
    finally:
        await channel.close()
    return text[:MAX_KEPT].decode(errors="replace")
