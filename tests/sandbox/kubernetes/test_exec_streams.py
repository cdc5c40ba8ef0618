"""Streams into a real pod, through the API server and the kubelet."""

import asyncio
import hashlib
import os

import pytest

from raysweep.apiserver import ApiError, pods
from raysweep.sandbox.kubernetes.exec import open_exec
from raysweep.sandbox.kubernetes.watch import Watcher
from support.kubernetes_pods import runs, small_pod

pytestmark = pytest.mark.cluster

PATIENCE_S = 120
SIZE = 100 * 1024 * 1024
CHUNK = 1 << 20


@pytest.fixture
async def pod(api, cluster):
    """A running pod that only sleeps."""
    name = f"exec-{os.urandom(4).hex()}"
    async with Watcher(api, cluster.namespace, "test=exec") as watcher, asyncio.timeout(PATIENCE_S):
        watcher.follow(name)
        await api.create(pods(cluster.namespace), small_pod(cluster, name, {"test": "exec"}))
        await watcher.until(name, runs)
    yield name
    await api.delete(pods(cluster.namespace, name))


async def opened(api, cluster, pod, *command, on_close=lambda: None):
    return await open_exec(api, cluster.namespace, pod, "task", command, on_close)


async def everything(channel):
    received = b""
    while data := await channel.receive():
        received += data
    return received


async def test_bytes_come_back_as_they_were_and_the_end_of_input_is_seen(api, cluster, pod):
    channel = await opened(api, cluster, pod, "cat")
    sent = bytes(range(256)) * 1000
    async with asyncio.timeout(PATIENCE_S):
        await channel.send(sent)
        await channel.end()
        assert await everything(channel) == sent
        await channel.close()


async def test_a_hundred_megabytes_keep_their_digest_both_ways(api, cluster, pod):
    block = os.urandom(CHUNK)
    expected = hashlib.sha256(block * (SIZE // CHUNK)).hexdigest()
    async with asyncio.timeout(PATIENCE_S * 2):
        up = await opened(api, cluster, pod, "sha256sum")
        for _ in range(SIZE // CHUNK):
            await up.send(block)
        await up.end()
        assert (await everything(up)).split()[0].decode() == expected
        await up.close()
        down = await opened(api, cluster, pod, "head", "-c", str(SIZE), "/dev/zero")
        count, digest = 0, hashlib.sha256()
        while data := await down.receive():
            count += len(data)
            digest.update(data)
        assert count == SIZE
        assert digest.hexdigest() == hashlib.sha256(bytes(SIZE)).hexdigest()
        await down.close()


async def test_a_command_that_fails_is_no_end_of_data(api, cluster, pod):
    channel = await opened(api, cluster, pod, "bash", "-c", "echo out; echo because >&2; exit 3")
    async with asyncio.timeout(PATIENCE_S):
        assert await channel.receive() == b"out\n"
        with pytest.raises(ConnectionError, match="because"):
            await channel.receive()
        await channel.close()


async def test_a_program_that_is_not_there_breaks_the_stream(api, cluster, pod):
    channel = await opened(api, cluster, pod, "/no/such/program")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ConnectionError):
            await channel.receive()
        await channel.close()


async def test_closing_ends_the_commands_input_and_is_told_once(api, cluster, pod):
    closed = []
    channel = await opened(
        api, cluster, pod, "bash", "-c", "echo up; cat >/dev/null; touch /tmp/ended", on_close=lambda: closed.append(1)
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await channel.receive() == b"up\n"
        await channel.close()
        await channel.close()
        assert closed == [1]
        look = await opened(
            api, cluster, pod, "bash", "-c", "until test -e /tmp/ended; do sleep 0.1; done; echo so"
        )  # fmt: skip
        assert await everything(look) == b"so\n"
        await look.close()
    with pytest.raises(ConnectionError):
        await channel.send(b"x")


async def test_a_pod_that_is_not_there_is_refused(api, cluster, pod):
    with pytest.raises(ApiError) as caught:
        await opened(api, cluster, "nobody", "cat")
    assert caught.value.status == 404


async def test_a_pod_deleted_under_a_stream_breaks_it(api, cluster, pod):
    channel = await opened(api, cluster, pod, "cat")
    async with asyncio.timeout(PATIENCE_S):
        await channel.send(b"x")
        assert await channel.receive() == b"x"
        await api.delete(pods(cluster.namespace, pod))
        with pytest.raises(ConnectionError):
            await everything(channel)
        await channel.close()
