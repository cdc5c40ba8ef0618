"""Streams to an engine over TCP, and streams that are cut."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import tarfile

import pytest

from raysweep.sandbox.docker.doctor import run_checks
from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.sandbox.protocol import Planned

pytestmark = pytest.mark.docker


class Relay:
    """Carries TCP connections to the engine's socket; `cut` breaks those that are open, `refuse` new ones too."""

    def __init__(self, url: str) -> None:
        self.path = url.removeprefix("unix://")
        self.open: set[asyncio.StreamWriter] = set()
        self.refuse = False

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(self.path, limit=1 << 20)
        self.open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back))
                group.create_task(self._carry(there, writer))
        except* OSError:
            pass
        finally:
            self.open -= {writer, back}
            for one in (writer, back):
                one.close()

    async def _carry(self, reader, writer) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def cut(self) -> None:
        for writer in self.open:
            writer.transport.abort()


@pytest.fixture
async def relay(engine_url):
    if not engine_url.startswith("unix://"):
        pytest.skip("the engine is not reached over a unix socket")
    made = Relay(engine_url)
    made.url = await made.start()
    yield made
    made.cut()
    made.server.close()


@pytest.fixture
async def sandbox(relay, test_image, spec):
    provider = DockerProvider(image=test_image, pull="never", docker_host=relay.url)
    await provider.prepare("run")
    made = provider.open(spec())
    try:
        await made.start()
        await made.begin_phase("agent")
        yield made
    finally:
        relay.refuse = False
        await made.stop()


async def shell(sandbox, script, command_id):
    return await sandbox.exec(command_id, ["sh", "-c", script])


async def test_doctor_over_tcp(relay, test_image):
    checks = await run_checks(DockerProvider(image=test_image, docker_host=relay.url), Planned())
    assert [check.name for check in checks if check.required and not check.ok] == []


async def test_a_cut_stream_costs_no_command_and_runs_none_twice(sandbox, relay):
    script = "echo began >> /tmp/count; while [ ! -e /tmp/go ]; do sleep 0.05; done; cat /tmp/count"
    running = asyncio.create_task(shell(sandbox, script, "long"))
    await shell(sandbox, "while [ ! -s /tmp/count ]; do sleep 0.05; done", "wait")
    for number in range(3):
        relay.cut()
        assert (await shell(sandbox, f"echo {number}", f"between-{number}")).stdout == b"%d\n" % number
    relay.refuse = True
    relay.cut()
    late = asyncio.create_task(shell(sandbox, "touch /tmp/go", "go"))
    await asyncio.sleep(0.5)
    assert not late.done()
    assert not running.done()
    relay.refuse = False
    assert (await late).facts.exit == 0
    result = await running
    assert result.facts.exit == 0
    assert result.stdout == b"began\n"
    final_facts = await sandbox.stop()
    assert final_facts.platform is None
    assert final_facts.transport_down_s > 0


async def test_files_pass_whole_over_streams_that_are_cut(sandbox, relay):
    noise = random.Random(1).randbytes(8 << 20)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("noise")
        entry.size = len(noise)
        archive.addfile(entry, io.BytesIO(noise))

    async def cut_now_and_then():
        for _ in range(5):
            await asyncio.sleep(0.02)
            relay.cut()

    cutting = asyncio.create_task(cut_now_and_then())
    await sandbox.put(buffer.getvalue(), "/tmp")
    await cutting
    cutting = asyncio.create_task(cut_now_and_then())
    back = await sandbox.get("/tmp/noise")
    await cutting
    with tarfile.open(fileobj=io.BytesIO(back)) as archive:
        assert archive.extractfile("noise").read() == noise
