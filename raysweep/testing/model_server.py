"""A scripted model server with the real protocols: OpenAI's chat completions and responses, Anthropic's messages.

Made for tests of agents and of whole sweeps without a model and without money. Every call is written down as the server
saw it, so that what others recorded can be compared. It serves in a thread of its own:

    with ModelServer(solve) as server:
        ...  # base_url=server.url, any key
    assert server.calls[0].status == 200

The script is a function from a `Prompt` to a `Reply`; faults and latency come from `Conditions`, which may be changed
while it runs.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from raysweep.testing import model_wire as wire
from raysweep.testing.model_wire import Answer, Event, Reply

START_S = 30.0
_KINDS = {429: "rate_limit_error", 529: "overloaded_error", 401: "authentication_error", 400: "invalid_request_error"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a call asks.

    Attributes:
        model: as the call names it.
        first: text of the first message that the user wrote.
        turn: how many answers of the model it already holds, 0 for the first.
        tools: names of the tools that it offers.

    """

    model: str
    first: str
    turn: int
    tools: tuple[str, ...]


Script = Callable[[Prompt], Reply]


@dataclass(slots=True)
class Conditions:
    """How the server behaves from now on.

    Attributes:
        latency_s: until the first byte of an answer; or a function of the wall time (seconds since the epoch).
        per_event_s: between two events of a stream.
        fail: statuses of the next calls, taken one by one; 0 for a normal answer.
        fail_all: the status of every further call; None for normal answers.
        drop: how many of the next streams are broken off in their middle.
        retry_after: value of that header on 429 and 503.
        named: the model that answers name, in the place of the one that was asked for.
        silent: take calls and never answer.

    """

    latency_s: float | Callable[[float], float] = 0.0
    per_event_s: float = 0.0
    fail: list[int] = field(default_factory=list)
    fail_all: int | None = None
    drop: int = 0
    retry_after: str | None = None
    named: str | None = None
    silent: bool = False


@dataclass(slots=True)
class ServedCall:
    """One call as the server saw it; wall times in seconds since the epoch. whole: its answer was sent to its end."""

    id: str
    path: str
    model: str
    key: str
    stream: bool
    began: float
    status: int = 0
    first_event: float | None = None
    ended: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    whole: bool = False


class ModelServer:
    """The server, on a loopback port; a context manager. `calls` and `conditions` may be used while it runs."""

    def __init__(self, script: Script, conditions: Conditions | None = None, port: int = 0) -> None:
        self.conditions = conditions or Conditions()
        self.calls: list[ServedCall] = []
        self._script = script
        self._port = port
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="model-server", daemon=True)
        self._ready = threading.Event()
        self._failed: OSError | None = None

    @property
    def url(self) -> str:
        """Its address, without /v1."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise RuntimeError("the model server did not start")
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except OSError as error:  # its port is taken
            self._failed = error
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=256 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return await self._answered(request, body, wire.chat, lambda a: wire.chat_events(a, usage=usage))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, await request.json(), wire.response, wire.response_events)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, await request.json(), wire.message, wire.message_events)

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": _tokens((await request.json()).get("messages"))})

    async def _answered(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        whole: Callable[[Answer], Mapping[str, Any]],
        events: Callable[[Answer], Iterator[Event]],
    ) -> web.StreamResponse:
        prompt, messages = _prompt(body)
        call = ServedCall(
            id=f"req_{next(self._numbers):06d}",
            path=request.path,
            model=prompt.model,
            key=request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer "),
            stream=body.get("stream") is True,
            began=time.time(),
        )
        self.calls.append(call)
        refused = await self._refused(call)
        if refused is not None:
            return refused
        reply = self._script(prompt)
        call.status, call.tokens_in, call.tokens_out = 200, _tokens(messages), _tokens(reply.command or reply.text)
        call.tokens_cached = call.tokens_in // 2
        answer = Answer(
            id=call.id,
            model=self.conditions.named or call.model,
            created=call.began,
            tokens_in=call.tokens_in,
            tokens_cached=call.tokens_cached,
            tokens_out=call.tokens_out,
            reply=reply,
            shell=next((name for name in prompt.tools if name.lower() == "bash"), "bash"),
        )
        if call.stream:
            return await self._streamed(request, call, list(events(answer)))
        call.ended, call.whole = time.time(), True
        return web.json_response(whole(answer), headers={"x-request-id": call.id})

    async def _refused(self, call: ServedCall) -> web.Response | None:
        """Wait as the conditions say; the error answer of this call, if it is to have one."""
        conditions = self.conditions
        latency = conditions.latency_s
        await asyncio.sleep(latency(time.time()) if callable(latency) else latency)
        if conditions.silent:
            await asyncio.Event().wait()
        status = conditions.fail.pop(0) if conditions.fail else conditions.fail_all or 0
        if not status:
            return None
        call.status, call.ended = status, time.time()
        headers = {"x-request-id": call.id}
        if conditions.retry_after is not None and status in {429, 503}:
            headers["retry-after"] = conditions.retry_after
        error = {"type": _KINDS.get(status, "api_error"), "message": f"scripted {status}"}
        return web.json_response({"type": "error", "error": error}, status=status, headers=headers)

    async def _streamed(self, request: web.Request, call: ServedCall, events: list[Event]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-request-id": call.id})
        await response.prepare(request)
        drop = self.conditions.drop > 0
        self.conditions.drop -= drop
        call.first_event = time.time()
        for number, (name, event) in enumerate(events):
            if drop and number == len(events) // 2:
                assert request.transport is not None
                request.transport.abort()
                return response
            head = f"event: {name}\n" if name else ""
            text = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"{head}data: {text}\n\n".encode())
            if self.conditions.per_event_s:
                await asyncio.sleep(self.conditions.per_event_s)
        await response.write_eof()
        call.ended, call.whole = time.time(), True
        return response


def _prompt(body: Mapping[str, Any]) -> tuple[Prompt, list[Any]]:
    """What a call of any of the protocols asks, and its messages."""
    asked = body.get("messages", body.get("input"))
    messages = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    turn = sum(m.get("role") == "assistant" or m.get("type") == "function_call" for m in messages)
    tools = tuple(str(t.get("name") or t.get("function", {}).get("name")) for t in body.get("tools") or ())
    first = next((_text(m.get("content")) for m in messages if m.get("role") == "user"), "")
    return Prompt(str(body.get("model")), first, turn, tools), messages


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _tokens(of: object) -> int:
    text = of if isinstance(of, str) else json.dumps(of)
    return max(1, len(text) // 4)
