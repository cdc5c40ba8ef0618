"""What model APIs answer, in each protocol: whole answers and the events of streams; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Event = tuple[str | None, Any]
"""Name of a server-sent event, if the protocol has one, and its data: an object, or a text as it is."""
PIECE = 24
"""Characters of one event of a stream."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says: a text, or a call of a shell tool where `command` is given."""

    text: str = ""
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: identifier, the model that it names, its counts, and the name of the client's shell tool."""

    id: str
    model: str
    created: float
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    reply: Reply
    shell: str = "bash"

    @property
    def arguments(self) -> str:
        """Arguments of the call of the shell tool, as JSON."""
        more = {"description": "run"} if self.shell == "Bash" else {}
        return json.dumps({"command": self.reply.command, **more})


def chat(a: Answer) -> dict[str, Any]:
    """A whole answer of OpenAI's chat completions."""
    message: dict[str, Any] = {"role": "assistant", "content": a.reply.text}
    if a.reply.command is not None:
        message["tool_calls"] = [_chat_tool(a, a.arguments)]
    choice = {"index": 0, "message": message, "finish_reason": _chat_end(a)}
    return {**_chat_base(a), "object": "chat.completion", "choices": [choice], "usage": _chat_usage(a)}


def chat_events(a: Answer, *, usage: bool) -> Iterator[Event]:
    """The same as a stream; usage: whether the client asked for it."""
    chunk = {**_chat_base(a), "object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": p} for p in _pieces(a.reply.text)),
    ]
    if a.reply.command is not None:
        deltas.append({"tool_calls": [{"index": 0, **_chat_tool(a, "")}]})
        deltas += ({"tool_calls": [{"index": 0, "function": {"arguments": p}}]} for p in _pieces(a.arguments))
    for delta in deltas:
        yield None, {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield None, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": _chat_end(a)}]}
    if usage:
        yield None, {**chunk, "choices": [], "usage": _chat_usage(a)}
    yield None, "[DONE]"


def _chat_base(a: Answer) -> dict[str, Any]:
    return {"id": a.id, "created": int(a.created), "model": a.model}


def _chat_end(a: Answer) -> str:
    return "stop" if a.reply.command is None else "tool_calls"


def _chat_tool(a: Answer, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{a.id}", "type": "function", "function": {"name": a.shell, "arguments": arguments}}


def _chat_usage(a: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": a.tokens_in,
        "completion_tokens": a.tokens_out,
        "total_tokens": a.tokens_in + a.tokens_out,
        "prompt_tokens_details": {"cached_tokens": a.tokens_cached},
    }


def response(a: Answer) -> dict[str, Any]:
    """A whole answer of OpenAI's responses."""
    usage = {
        "input_tokens": a.tokens_in,
        "input_tokens_details": {"cached_tokens": a.tokens_cached},
        "output_tokens": a.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": a.tokens_in + a.tokens_out,
    }
    return {**_response_base(a), "status": "completed", "output": [_item(a)], "usage": usage, "error": None}


def response_events(a: Answer) -> Iterator[Event]:
    """The same as a stream."""
    begun = {**_response_base(a), "status": "in_progress", "output": []}
    yield "response.created", {"type": "response.created", "response": begun}
    item = _item(a)
    tool = a.reply.command is not None
    kind = "response.function_call_arguments.delta" if tool else "response.output_text.delta"
    for piece in _pieces(a.arguments if tool else a.reply.text):
        yield kind, {"type": kind, "delta": piece, "output_index": 0, "item_id": item["id"]}
    yield "response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield "response.completed", {"type": "response.completed", "response": response(a)}


def _response_base(a: Answer) -> dict[str, Any]:
    return {"id": f"resp_{a.id}", "object": "response", "created_at": int(a.created), "model": a.model}


def _item(a: Answer) -> dict[str, Any]:
    if a.reply.command is None:
        content = [{"type": "output_text", "text": a.reply.text, "annotations": []}]
        return {"type": "message", "id": f"msg_{a.id}", "role": "assistant", "status": "completed", "content": content}
    return {
        "type": "function_call", "id": f"fc_{a.id}", "call_id": f"call_{a.id}", "name": a.shell,
        "arguments": a.arguments, "status": "completed",
    }  # fmt: skip


def message(a: Answer) -> dict[str, Any]:
    """A whole answer of Anthropic's messages."""
    return {**_message_base(a), "content": [_block(a)], "stop_reason": _message_end(a), "usage": _message_usage(a)}


def message_events(a: Answer) -> Iterator[Event]:
    """The same as a stream."""
    usage = {**_message_usage(a), "output_tokens": 1}
    begun = {**_message_base(a), "content": [], "stop_reason": None, "usage": usage}
    yield _named({"type": "message_start", "message": begun})
    tool = a.reply.command is not None
    empty = {**_block(a), "input": {}} if tool else {"type": "text", "text": ""}
    yield _named({"type": "content_block_start", "index": 0, "content_block": empty})
    for piece in _pieces(a.arguments if tool else a.reply.text):
        delta = {"type": "input_json_delta", "partial_json": piece} if tool else {"type": "text_delta", "text": piece}
        yield _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield _named({"type": "content_block_stop", "index": 0})
    stop = {"stop_reason": _message_end(a), "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": stop, "usage": {"output_tokens": a.tokens_out}})
    yield _named({"type": "message_stop"})


def _named(event: Mapping[str, Any]) -> Event:
    return str(event["type"]), event


def _message_base(a: Answer) -> dict[str, Any]:
    return {"id": f"msg_{a.id}", "type": "message", "role": "assistant", "model": a.model, "stop_sequence": None}


def _message_end(a: Answer) -> str:
    return "end_turn" if a.reply.command is None else "tool_use"


def _message_usage(a: Answer) -> dict[str, int]:
    return {
        "input_tokens": a.tokens_in - a.tokens_cached,
        "cache_read_input_tokens": a.tokens_cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": a.tokens_out,
    }


def _block(a: Answer) -> dict[str, Any]:
    if a.reply.command is None:
        return {"type": "text", "text": a.reply.text}
    return {"type": "tool_use", "id": f"toolu_{a.id}", "name": a.shell, "input": json.loads(a.arguments)}


def _pieces(text: str) -> list[str]:
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
