"""Reads what passes between agents and model APIs: requests, single answers and streams of both protocols.

It never holds a piece back and keeps no more than one event of a stream, or ANSWER_LIMIT of a single answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from raysweep.gateway.call import Call, failure_of_event

ANSWER_LIMIT = 8 << 20
ERROR_LIMIT = 500
_CHAT = "/chat/completions"
_TOKEN_EVENTS = frozenset(
    {
        "content_block_delta",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
    }
)
_TOKEN_PARTS = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal")


def read_request(call: Call, body: bytes) -> tuple[bytes, int | None]:
    """(the body to send, the most output tokens that it asks for).

    Notes the model and whether a stream is wanted. A stream of OpenAI's chat API is asked for its usage, which it
    leaves out otherwise; nothing else is changed.
    """
    call.request_bytes = len(body)
    try:
        data = json.loads(body)
    except ValueError:
        return body, None
    if not isinstance(data, dict):
        return body, None
    call.model = data["model"] if isinstance(data.get("model"), str) else None
    call.stream = data.get("stream") is True
    bounds = (data.get(k) for k in ("max_completion_tokens", "max_output_tokens", "max_tokens"))
    most = next((b for b in bounds if isinstance(b, int) and b > 0), None)
    options = data.get("stream_options")
    options = options if isinstance(options, dict) else {}
    if call.stream and call.path.endswith(_CHAT) and not options.get("include_usage"):
        data["stream_options"] = {**options, "include_usage": True}
        return json.dumps(data).encode(), most
    return body, most


class AnswerReader:
    """Takes the pieces of one answer as they pass and fills in its Call; `now` gives the wall time."""

    def __init__(self, call: Call, now: Callable[[], float], *, events: bool) -> None:
        self._call = call
        self._now = now
        self._events = events
        self._buffer = bytearray()
        self.complete = not events
        """Whether a stream came to its last event; a single answer's length says it."""

    def feed(self, piece: bytes) -> None:
        """Look at the next piece of the answer."""
        if self._call.first_byte is None:
            self._call.first_byte = self._now()
        self._call.response_bytes += len(piece)
        if len(self._buffer) + len(piece) > ANSWER_LIMIT:
            self._buffer.clear()  # no event and no answer of a model is that long: what it costs stays unknown
            return
        self._buffer += piece
        if not self._events:
            return
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())

    def close(self) -> None:
        """The answer has ended by itself."""
        if not self._events:
            self._answer(_object(bytes(self._buffer)))

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.complete = True
            return
        event = _object(data)
        kind = event.get("type")
        if self._call.first_token is None and _has_token(event):
            self._call.first_token = self._now()
        if kind in ("message_stop", "response.completed", "response.incomplete", "response.failed"):
            self.complete = True
        if kind == "error" or event.get("error"):
            self._fail(event.get("error") or event)
        for part in (event, _mapping(event.get("message")), _mapping(event.get("response"))):
            self._answer(part)
        self._finish(_mapping(event.get("delta")).get("stop_reason"))

    def _answer(self, data: Mapping[str, Any]) -> None:
        """What a whole answer, or an event in its shape, says of model, tokens, end and error."""
        call = self._call
        if isinstance(data.get("model"), str):
            call.model_named = data["model"]
        read_usage(call, data.get("usage"))
        for choice in _list(data.get("choices")):
            self._finish(_mapping(choice).get("finish_reason"))
        self._finish(data.get("stop_reason"))
        if data.get("object") == "response":
            self._finish(data.get("status"))
        if data.get("error"):
            self._fail(data["error"])

    def _finish(self, reason: object) -> None:
        if isinstance(reason, str):
            self._call.finish = reason

    def _fail(self, error: object) -> None:
        self._call.error = _words(error)
        if self._call.failure is None and (self._call.status or 200) < 400:
            inner = _mapping(error)
            self._call.failure = failure_of_event(inner.get("type") or inner.get("code"))


def read_usage(call: Call, usage: object) -> None:
    """Tokens of a usage object: OpenAI's chat, OpenAI's responses or Anthropic's messages."""
    said = _mapping(usage)
    if "prompt_tokens" in said:
        call.tokens_in = _count(said["prompt_tokens"])
        call.tokens_out = _count(said.get("completion_tokens"))
        call.tokens_cached = _count(_mapping(said.get("prompt_tokens_details")).get("cached_tokens"))
        call.tokens_reasoning = _count(_mapping(said.get("completion_tokens_details")).get("reasoning_tokens"))
        return
    tokens_in, tokens_out = _count(said.get("input_tokens")), _count(said.get("output_tokens"))
    if tokens_in is not None:
        details = _mapping(said.get("input_tokens_details"))
        read, written = _count(said.get("cache_read_input_tokens")), _count(said.get("cache_creation_input_tokens"))
        call.tokens_in = tokens_in + (read or 0) + (written or 0)  # Anthropic counts these apart
        call.tokens_cached = read if read is not None else _count(details.get("cached_tokens"))
        call.tokens_cache_write = written
    if tokens_out is not None:
        call.tokens_out = tokens_out
        reasoning = _count(_mapping(said.get("output_tokens_details")).get("reasoning_tokens"))
        call.tokens_reasoning = reasoning if reasoning is not None else call.tokens_reasoning


def _has_token(event: Mapping[str, Any]) -> bool:
    if event.get("type") in _TOKEN_EVENTS:
        return True
    deltas = (_mapping(_mapping(choice).get("delta")) for choice in _list(event.get("choices")))
    return any(delta.get(part) for delta in deltas for part in _TOKEN_PARTS)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(data))
    except ValueError:
        return {}


def _words(error: object) -> str:
    message = _mapping(error).get("message")
    return (message if isinstance(message, str) else json.dumps(error, default=str))[:ERROR_LIMIT]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None
