"""The client against a supervisor made of queues, on virtual time: what it survives, and what ends a request."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from raysweep.clock import VirtualClock
from raysweep.errors import SandboxError
from raysweep.sandbox.supervised.client import Client, SupervisorError
from raysweep.sandbox.supervised.container import ContainerEndedError
from raysweep.sandbox.supervised.frames import (
    HEADER,
    MAX_BODY,
    FrameReader,
    Sealer,
    encode_head,
    stream_key,
)
from raysweep.sandbox.supervised.patience import Patience

TOKEN = "0" * 32
OFFSET = 5.0
NONCE = "f" * 64


class FakeSupervisor:
    """Answers `echo` at once, `later N` after N seconds, `never` not at all; `streams` are the live channels."""

    def __init__(self, clock):
        self.clock = clock
        self.reachable = True
        self.ended = False
        self.version = "2"
        self.deaf = False
        self.streams = []
        self.connects = []
        self.seen = []
        self.tokens = []

    async def connect(self):
        self.connects.append(self.clock.monotonic())
        if self.ended:
            raise ContainerEndedError("ended")
        if not self.reachable:
            raise ConnectionRefusedError("refused")
        self.streams.append(FakeChannel(self))
        return self.streams[-1]

    def cut(self):
        for stream in self.streams:
            stream.broken = True
            stream.replies.put_nowait(b"")
        self.streams.clear()

    async def answer(self, stream, frame):
        number, op, *args = frame.fields
        if number != "0":
            self.seen.append((op, *args))
        elif op == "hello":
            self.tokens.append(args[1])
        if self.deaf or op == "never":
            return
        micros = [str(int(t * 1e6)) for t in (self.clock.monotonic(), self.clock.now() + OFFSET)]
        fields = {"hello": [self.version, "1", *micros, "0", "2", NONCE], "clock": micros}.get(op, args)
        if op == "later":
            await asyncio.sleep(float(args[0]))
        kind = {"fail": "error", "odd": "perhaps"}.get(op, "ok")
        await stream.reply(encode_head([number, kind, *fields], len(frame.body)) + frame.body)


class FakeChannel:
    def __init__(self, supervisor):
        self.supervisor = supervisor
        self.reader = FrameReader()
        self.out = None
        self.replies, self.tasks, self.broken = asyncio.Queue(), set(), False

    async def send(self, data):
        if self.broken:
            raise ConnectionResetError("broken")
        for frame in self.reader.feed(data):
            if self.out is None:  # behind the hello, whose own seal nobody looks at
                nonce = frame.fields[2]
                self.reader.sealer = Sealer(stream_key(TOKEN, "to supervisor", nonce, NONCE))
                self.out = Sealer(stream_key(TOKEN, "to runner", nonce, NONCE))
            task = asyncio.create_task(self.supervisor.answer(self, frame))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def reply(self, data):
        if not self.broken:
            data += self.out.whole(data)
            middle = len(data) // 2
            self.replies.put_nowait(data[:middle])
            self.replies.put_nowait(data[middle:])

    async def receive(self):
        return await self.replies.get()

    async def close(self):
        self.broken = True


def on_virtual_time(case, **options):
    """Run `case(supervisor, client)` with an open client that is closed afterwards."""
    clock = VirtualClock(start=1_000_000.0)

    async def main():
        supervisor = FakeSupervisor(clock)
        client = Client(supervisor.connect, TOKEN, clock=clock, uniform=lambda low, high: high, **options)
        try:
            return await case(supervisor, client)
        finally:
            await client.close()

    return clock.run(main())


def test_many_requests_are_answered_in_any_order():
    async def case(supervisor, client):
        await client.open()
        waits = [client.ask("later", str(n), body=bytes([n])) for n in (3, 1, 2)]
        return [(reply.fields, reply.body) for reply in await asyncio.gather(*waits)]

    assert on_virtual_time(case) == [((str(n),), bytes([n])) for n in (3, 1, 2)]


def test_a_greeting_tells_who_it_is_and_how_its_clock_differs():
    async def case(supervisor, client):
        greeting = await client.open()
        assert (greeting.pid, greeting.uid, greeting.cgroup) == (1, 0, 2)
        assert supervisor.tokens == [TOKEN]
        assert client.clock_offset == pytest.approx(OFFSET, abs=1e-3)
        await client.tell_clock()
        return client.clock_offset

    assert on_virtual_time(case) == pytest.approx(OFFSET, abs=1e-3)


def test_open_requests_are_sent_again_on_a_new_stream_and_the_outage_is_counted(caplog):
    caplog.set_level(logging.INFO, "raysweep")

    async def case(supervisor, client):
        await client.open()
        slow = asyncio.create_task(client.ask("later", "100", body=b"x" * 1_000_000))
        await asyncio.sleep(1)
        supervisor.reachable = False
        supervisor.cut()
        during = asyncio.create_task(client.ask("echo", "asked during the outage"))
        await asyncio.sleep(29)
        assert client.down_s == pytest.approx(29)
        supervisor.reachable = True
        assert (await during).fields == ("asked during the outage",)
        assert (await slow).body == b"x" * 1_000_000
        assert supervisor.seen.count(("later", "100")) == 2
        return client.down_s

    assert 29 <= on_virtual_time(case) <= 40
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("the stream to the sandbox was lost: ")
    assert said[-1].startswith("reconnected to the sandbox after ")


def test_back_off_grows_to_its_longest():
    async def case(supervisor, client):
        await client.open()
        supervisor.reachable = False
        supervisor.cut()
        await asyncio.sleep(60)
        times = supervisor.connects[1:]
        return [round(b - a, 6) for a, b in itertools.pairwise(times)]

    assert on_virtual_time(case, patience=Patience(first=1.0, longest=10.0)) == [2.0, 4.0, 8.0, *[10.0] * 4]


def test_beyond_the_cap_it_is_the_platform():
    async def case(supervisor, client):
        await client.open()
        waiting = asyncio.create_task(client.ask("never"))
        await asyncio.sleep(1)
        supervisor.reachable = False
        supervisor.cut()
        with pytest.raises(SandboxError, match="no stream to the sandbox") as caught:
            await waiting
        assert caught.value.cause == "api_server"
        assert client.down_s >= 100
        with pytest.raises(SandboxError):
            await client.ask("echo")
        assert not client.ended.is_set()

    on_virtual_time(case, patience=Patience(cap=100.0))


def test_two_short_outages_do_not_add_up_to_the_cap():
    async def case(supervisor, client):
        await client.open()
        for _ in range(3):
            supervisor.reachable = False
            supervisor.cut()
            await asyncio.sleep(60)
            supervisor.reachable = True
            await client.ask("echo")
        return client.down_s

    assert on_virtual_time(case, patience=Patience(cap=100.0)) > 150


def test_never_reachable_is_the_platform_too():
    async def case(supervisor, client):
        supervisor.reachable = False
        with pytest.raises(SandboxError, match="api_server"):
            await client.open()

    on_virtual_time(case)


def test_the_end_of_the_container_ends_all_requests():
    async def case(supervisor, client):
        await client.open()
        waiting = [asyncio.create_task(client.ask("never")) for _ in range(3)]
        await asyncio.sleep(1)
        supervisor.ended = True
        supervisor.cut()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ContainerEndedError] * 3
        assert client.ended.is_set()
        with pytest.raises(ContainerEndedError):
            await client.ask("echo")

    on_virtual_time(case)


def test_close_ends_all_requests_but_says_nothing_of_the_container():
    async def case(supervisor, client):
        await client.open()
        waiting = asyncio.create_task(client.ask("never"))
        await asyncio.sleep(1)
        await client.close()
        with pytest.raises(ContainerEndedError):
            await waiting
        assert not client.ended.is_set()

    on_virtual_time(case)


def test_another_protocol_is_refused():
    async def case(supervisor, client):
        supervisor.version = "1"
        with pytest.raises(SandboxError, match="not speak protocol 2"):
            await client.open()

    on_virtual_time(case)


def test_the_token_goes_out_once_and_later_streams_prove_it_only():
    async def case(supervisor, client):
        await client.open()
        for _ in range(3):
            supervisor.cut()
            await client.ask("echo")
        return supervisor.tokens

    assert on_virtual_time(case) == [TOKEN, "", "", ""]


def test_a_reply_that_somebody_between_altered_is_not_believed():
    async def case(supervisor, client):
        await client.open()
        stream = supervisor.streams[-1]
        waiting = asyncio.create_task(client.ask("later", "5"))
        await asyncio.sleep(1)
        stream.replies.put_nowait(encode_head(["1", "ok", "forged"], 0) + stream.out.whole(b"forged"))
        return (await waiting).fields, len(supervisor.connects)

    assert on_virtual_time(case) == (("5",), 2)


def test_what_the_supervisor_refuses_is_an_error_with_its_number():
    async def case(supervisor, client):
        await client.open()
        with pytest.raises(SupervisorError, match="disk is full") as caught:
            await client.ask("fail", "28", "disk is full")
        assert caught.value.errno == 28
        with pytest.raises(ValueError, match="NUL"):
            await client.ask("echo", "a\0b")
        assert (await client.ask("echo", "still here")).fields == ("still here",)

    on_virtual_time(case)


def test_a_reply_that_makes_no_sense_is_the_platforms_fault():
    async def case(supervisor, client):
        await client.open()
        with pytest.raises(SandboxError, match="runner_lost"):
            await client.ask("odd")
        assert (await client.ask("echo", "1", "-2")).numbers(0, 2) == (1, -2)
        for fields in ((), ("x",)):
            with pytest.raises(SandboxError, match="runner_lost"):
                (await client.ask("echo", *fields)).numbers(0, 1)

    on_virtual_time(case)


def test_a_stream_that_went_silent_is_replaced():
    async def case(supervisor, client):
        await client.open()
        supervisor.deaf = True
        waiting = asyncio.create_task(client.ask("echo", "heard"))
        await asyncio.sleep(200)
        supervisor.deaf = False
        return (await waiting).fields, len(supervisor.connects) > 1

    assert on_virtual_time(case) == (("heard",), True)


def test_a_quiet_but_living_stream_is_kept():
    async def case(supervisor, client):
        await client.open()
        reply = await client.ask("later", "1000")
        return reply.fields, len(supervisor.connects), client.down_s

    assert on_virtual_time(case) == (("1000",), 1, 0.0)


def test_a_garbled_stream_is_replaced():
    async def case(supervisor, client):
        await client.open()
        waiting = asyncio.create_task(client.ask("later", "5"))
        await asyncio.sleep(1)
        supervisor.streams[-1].replies.put_nowait(b"\xff" * 40)
        return (await waiting).fields, len(supervisor.connects)

    assert on_virtual_time(case) == (("5",), 2)


def test_a_supervisor_that_sends_too_much_is_given_up_at_once():
    async def case(supervisor, client):
        await client.open()
        waiting = asyncio.create_task(client.ask("later", "5"))
        await asyncio.sleep(1)
        supervisor.streams[-1].replies.put_nowait(HEADER.pack(4, MAX_BODY + 1) + b"1\0ok")
        with pytest.raises(SandboxError, match="makes no sense"):
            await waiting
        return len(supervisor.connects)

    assert on_virtual_time(case) == 1
