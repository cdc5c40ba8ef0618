"""Sends one call on with the real key and passes its answer back, whole or broken as it comes."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from raysweep.gateway.admitted import AdmittedAttempt
from raysweep.gateway.call import Call, failure_of_status
from raysweep.gateway.reading import ERROR_LIMIT, AnswerReader, read_request
from raysweep.gateway.sums import cost
from raysweep.vocabulary import ApiFailure

_OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding",
     "upgrade", "host", "content-length"}
)  # fmt: skip
_NOT_SENT_ON = _OF_THE_CONNECTION | {"accept-encoding", "authorization", "x-api-key", "api-key", "cookie", "expect"}
_NOT_PASSED_BACK = _OF_THE_CONNECTION | {"set-cookie"}
CONNECT_TIMEOUT_S = 30.0
_BYTES_PER_TOKEN = 4
"""For estimates of a call's input tokens against tokens_per_minute; corrected once the API has counted them."""


def refusal(status: int, kind: str, message: str) -> web.Response:
    """An error answer of ours, in the shape that clients of both protocols read."""
    return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)


class Forwarder:
    """Forwards one call of an attempt."""

    def __init__(self, attempt: AdmittedAttempt, session: aiohttp.ClientSession) -> None:
        self._attempt = attempt
        self._session = session

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The answer to one call, which is recorded whatever becomes of it."""
        attempt = self._attempt
        body = await request.read()
        call = Call(len(attempt.calls) + 1, request.path, attempt.wall())
        attempt.calls.append(call)
        attempt.journal.note(call)
        reserved = 0.0
        try:
            body, most_output = read_request(call, body)
            reserved, refused = attempt.wallet.reserve(call, most_output)
            if refused is not None:
                call.status, call.failure, call.error = 402, ApiFailure.OVER_BUDGET, refused
                return refusal(402, "billing_error", f"raysweep: {refused}")
            return await self._through_gate(request, call, body)
        except asyncio.CancelledError:
            call.failure = call.failure or ApiFailure.CUT
            call.error = call.error or "ended before its answer did: by the agent, or with the agent's time"
            raise
        finally:
            call.ended = attempt.wall()
            call.usd = cost(call, attempt.wallet.price(call))
            attempt.wallet.settle(reserved, call.usd)
            attempt.journal.note(call)

    async def _through_gate(self, request: web.Request, call: Call, body: bytes) -> web.StreamResponse:
        gate = self._attempt.gate(call.model)
        estimate = len(body) / _BYTES_PER_TOKEN
        call.queued_s = await gate.enter(estimate)
        try:
            return await self._passed(request, call, body)
        finally:
            used = (call.tokens_in or 0) + (call.tokens_out or 0)
            gate.leave(
                rate_limited=call.failure == ApiFailure.RATE_LIMITED,
                answered=call.failure is None,
                more_tokens=used - estimate if used else 0.0,
            )

    async def _passed(self, request: web.Request, call: Call, body: bytes) -> web.StreamResponse:
        attempt = self._attempt
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                attempt.api.base_url + request.path_qs,
                headers=self._headers(request),
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=attempt.api.silence_timeout
                ),
            ) as answer:
                call.status = answer.status
                call.failure = failure_of_status(answer.status)
                call.request_id = answer.headers.get("request-id") or answer.headers.get("x-request-id")
                call.retry_after = answer.headers.get("retry-after")
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                response.headers.extend((k, v) for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED_BACK)
                if answer.content_length is not None and request.method != "HEAD":
                    response.content_length = answer.content_length
                await response.prepare(request)
                await self._stream(answer, response, call)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if request.transport is None or request.transport.is_closing():
                call.failure, call.error = ApiFailure.CUT, "the agent closed the connection"
                raise asyncio.CancelledError from error
            return self._broken(request, call, response, error)
        return response

    async def _stream(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, call: Call) -> None:
        events = "text/event-stream" in answer.headers.get("content-type", "")
        reader = AnswerReader(call, self._attempt.wall, events=events)
        async for piece in answer.content.iter_any():
            reader.feed(piece)
            await response.write(piece)
        reader.close()
        await response.write_eof()
        if not reader.complete and call.failure is None:
            call.failure, call.error = ApiFailure.DOWN, "the stream ended before its last event"
        if call.failure is not None and call.error is None:
            call.error = answer.reason

    def _headers(self, request: web.Request) -> list[tuple[str, str]]:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _NOT_SENT_ON]
        key = self._attempt.key
        if key is not None and self._attempt.api.protocol == "anthropic":
            headers.append(("x-api-key", key))
        elif key is not None:
            headers.append(("Authorization", f"Bearer {key}"))
        return [*headers, ("Accept-Encoding", "identity")]

    @staticmethod
    def _broken(
        request: web.Request, call: Call, response: web.StreamResponse | None, error: Exception
    ) -> web.StreamResponse:
        """The answer where the connection to the API failed; one that had begun is broken off."""
        slow = isinstance(error, TimeoutError)
        call.failure = ApiFailure.TIMED_OUT if slow else ApiFailure.DOWN
        call.error = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
        if response is None:
            call.status = 504 if slow else 502
            return refusal(call.status, "api_error", f"raysweep: the model API did not answer ({call.error})")
        if request.transport is not None:
            request.transport.abort()
        return response
