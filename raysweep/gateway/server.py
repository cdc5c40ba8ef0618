"""The gateway's server: a token for each attempt, and what the token opens."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from raysweep.config.apis import ModelApi
from raysweep.gateway.admitted import AdmittedAttempt
from raysweep.gateway.forward import Forwarder, refusal
from raysweep.gateway.gate import Gate
from raysweep.gateway.journal import Journal
from raysweep.gateway.keys import read_key
from raysweep.gateway.money import Wallet

REQUEST_LIMIT = 256 << 20
CUT_S = 5.0
"""How long calls that were cut may take to end."""
TOKEN_PREFIX = "rs-"  # noqa: S105 - no secret
_POST = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
    }
)
"""What a token opens: calls of models. The real key may open much more at its provider."""


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """What an agent gets to reach its model; valid for its attempt only.

    Attributes:
        base_url: the gateway without /v1, as Anthropic's clients take it; OpenAI's take it with /v1.
        token: stands in for the key.
        protocol: openai or anthropic.

    """

    base_url: str
    token: str = field(repr=False)
    protocol: str


class Gateway:
    """The pass-through of one runner, on a loopback port; it starts to listen with its first attempt.

    share: this runner's part of every API's limits, 0 < share <= 1.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._attempts: dict[str, AdmittedAttempt] = {}
        self._gates: dict[tuple[str, str | None], Gate] = {}
        self._serving: tuple[web.AppRunner, aiohttp.ClientSession, int] | None = None
        self._starting: asyncio.Lock | None = None

    async def admit(
        self,
        name: str,
        api: ModelApi,
        offset: float,
        most_usd: float | None = None,
        folder: Path | None = None,
    ) -> tuple[AdmittedAttempt, ModelAccess]:
        """Let an attempt call the API `name`.

        offset: the driver's wall time less this process's monotonic time, seconds. most_usd: the attempt's money bound.
        folder: where its calls are written down while it runs, None for nowhere.

        Raises:
            InputError: the API's key is not to be had here.

        """
        key = read_key(name, api)
        port = await self._port()
        attempt = AdmittedAttempt(
            api=api,
            gate=lambda model: self._gate(name, api, model),
            wallet=Wallet(api.prices, most_usd),
            token=TOKEN_PREFIX + secrets.token_urlsafe(24),
            key=key,
            offset=offset,
            journal=Journal(folder),
        )
        self._attempts[attempt.token] = attempt
        return attempt, ModelAccess(f"http://127.0.0.1:{port}", attempt.token, api.protocol)

    async def dismiss(self, attempt: AdmittedAttempt) -> None:
        """End the attempt's access: its token opens nothing any more, and its calls under way are cut."""
        self._attempts.pop(attempt.token, None)
        cut = list(attempt.open)
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut, timeout=CUT_S)

    async def close(self) -> None:
        """Stop to listen."""
        if self._serving is not None:
            runner, session, _ = self._serving
            self._serving = None
            await session.close()
            await runner.cleanup()

    async def _port(self) -> int:
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._serving is None:
                self._serving = await self._listen()
            return self._serving[2]

    async def _listen(self) -> tuple[web.AppRunner, aiohttp.ClientSession, int]:
        app = web.Application(client_max_size=REQUEST_LIMIT)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return runner, session, runner.addresses[0][1]

    def _gate(self, name: str, api: ModelApi, model: str | None) -> Gate:
        """The gate of one API and model; models beyond a hundred share one, so that an agent cannot fill memory."""
        key = (name, model if len(self._gates) < 100 else None)
        if key not in self._gates:
            self._gates[key] = Gate(api, self._share, time.monotonic)
        return self._gates[key]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        attempt = self._attempts.get(_token(request))
        if attempt is None or self._serving is None:
            return refusal(401, "authentication_error", "raysweep: no such attempt, or it has ended")
        if not _open(request):
            return refusal(404, "not_found_error", f"raysweep: {request.method} {request.path} is no call of a model")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in a task
        attempt.open.add(task)
        try:
            return await Forwarder(attempt, self._serving[1]).forward(request)
        finally:
            attempt.open.discard(task)


def _token(request: web.Request) -> str:
    """The token, wherever the client's library puts the key."""
    headers = request.headers
    bearer = headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return headers.get("x-api-key") or headers.get("api-key") or bearer


def _open(request: web.Request) -> bool:
    if request.method == "POST":
        return request.path in _POST
    return request.method == "GET" and (request.path == "/v1/models" or request.path.startswith("/v1/models/"))
