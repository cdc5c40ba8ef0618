"""What the gateway adds to a model call, beside the same calls made directly, interleaved in one run.

    python benchmarks/gateway.py [CALLS]

Server, gateway and client are processes of their own, so that the gateway's cpu is its own. For each shape there are
CALLS calls (default 400) directly and CALLS through the gateway, in turns of one batch each, with 1, 64 and 256 open at
once: whole answers, and streams of 50 events. The model takes 8 ms for each call that is open, and calls begin evenly
spread over that time: a machine that is full would measure its own queue. Goals: 1 ms in the median, 5 ms at p99, 1 ms
of cpu a call.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection

import aiohttp

from raysweep.config.apis import Connections, ModelApi
from raysweep.gateway import Gateway
from raysweep.testing.model_server import ModelServer
from raysweep.testing.model_wire import PIECE, Reply

OPEN = (1, 64, 256)
EVENTS = 50
SPACING_S = 0.008
BODY = {"model": "m", "max_tokens": 1000, "messages": [{"role": "user", "content": "x" * 4000}]}


def serve(pipe: Connection) -> None:
    """The model server; each message is the latency from now on, None ends it."""
    with ModelServer(lambda _: Reply("y" * PIECE * (EVENTS - 6))) as server:
        pipe.send(server.url)
        while (latency_s := pipe.recv()) is not None:
            server.conditions.latency_s = latency_s


def pass_on(pipe: Connection, url: str) -> None:
    """The gateway; each message asks for the cpu seconds that it has used, None ends it."""

    async def main() -> None:
        gateway = Gateway()
        api = ModelApi(
            protocol="anthropic", base_url=url, key_env="HOME", connections=Connections(start=1000, most=1000)
        )
        attempt, access = await gateway.admit("a", api, 0.0)
        pipe.send((access.base_url, access.token))
        while await asyncio.to_thread(pipe.recv):
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, len(attempt.calls)))
            attempt.calls.clear()
        await gateway.close()

    asyncio.run(main())


async def timed(session: aiohttp.ClientSession, url: str, token: str, *, stream: bool, after: float) -> float:
    """Seconds of one call that begins `after` seconds from now, its whole answer read."""
    await asyncio.sleep(after)
    began = time.perf_counter()
    headers = {"x-api-key": token}
    async with session.post(f"{url}/v1/messages", json={**BODY, "stream": stream}, headers=headers) as answer:
        await answer.read()
        answer.raise_for_status()
    return time.perf_counter() - began


async def compare(
    server: Connection, direct: str, through: tuple[str, str], gateway: Connection, calls: int
) -> list[dict[str, float]]:
    """One line for each shape."""
    lines = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for stream in (False, True):
            for at_once in OPEN:
                server.send(SPACING_S * at_once)
                seconds: dict[str, list[float]] = {"direct": [], "through": []}
                await asyncio.to_thread(ask, gateway)
                before, _ = await asyncio.to_thread(ask, gateway)
                ways = {"direct": (direct, "key"), "through": through}
                while len(seconds["direct"]) < calls:
                    for way, (url, token) in ways.items():
                        batch = (timed(session, url, token, stream=stream, after=SPACING_S * i) for i in range(at_once))
                        seconds[way] += await asyncio.gather(*batch)
                used, served = await asyncio.to_thread(ask, gateway)
                lines.append(line_of(seconds, at_once, stream=stream, cpu=(used - before) / served))
    return lines


def ask(gateway: Connection) -> tuple[float, int]:
    """(cpu seconds of the gateway's process so far, calls since the last question)."""
    gateway.send("cpu")
    answer: tuple[float, int] = gateway.recv()
    return answer


def line_of(seconds: dict[str, list[float]], at_once: int, *, stream: bool, cpu: float) -> dict[str, float]:
    """Milliseconds; medians and 99th percentiles of both ways and their differences."""
    quantiles = {way: statistics.quantiles(values, n=100) for way, values in seconds.items()}
    median = {way: 1000 * q[49] for way, q in quantiles.items()}
    p99 = {way: 1000 * q[98] for way, q in quantiles.items()}
    return {
        "events": EVENTS if stream else 0,
        "open": at_once,
        "direct_p50": median["direct"],
        "through_p50": median["through"],
        "added_p50": median["through"] - median["direct"],
        "added_p99": p99["through"] - p99["direct"],
        "ratio_p50": median["through"] / median["direct"],
        "gateway_cpu_ms": 1000 * cpu,
    }


def main() -> None:
    """Start the processes, compare, print one JSON object a line."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    context = multiprocessing.get_context("spawn")
    server, server_end = context.Pipe()
    gateway, gateway_end = context.Pipe()
    context.Process(target=serve, args=(server_end,), daemon=True).start()
    direct = server.recv()
    context.Process(target=pass_on, args=(gateway_end, direct), daemon=True).start()
    through = gateway.recv()
    for line in asyncio.run(compare(server, direct, through, gateway, calls)):
        print(json.dumps({k: round(v, 3) for k, v in line.items()}))
    gateway.send(None)
    server.send(None)


if __name__ == "__main__":
    main()
