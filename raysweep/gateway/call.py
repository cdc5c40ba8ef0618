"""One model call as the gateway saw it, and what its end counts as; pure."""

from __future__ import annotations

from dataclasses import dataclass

from raysweep.vocabulary import ApiFailure

_TIMED_OUT = frozenset({408, 504, 524})
_RATE_LIMITED = frozenset({429, 529})
_REFUSED = frozenset({401, 402, 403})
"""Of the key or the account. 404 names a model or path that the agent chose: its own doing."""
_EVENTS = {
    "rate_limit_error": ApiFailure.RATE_LIMITED,
    "overloaded_error": ApiFailure.RATE_LIMITED,
    "rate_limit_exceeded": ApiFailure.RATE_LIMITED,
    "authentication_error": ApiFailure.REFUSED,
    "permission_error": ApiFailure.REFUSED,
    "not_found_error": ApiFailure.BAD_REQUEST,
    "timeout_error": ApiFailure.TIMED_OUT,
    "invalid_request_error": ApiFailure.BAD_REQUEST,
}
BLOCKING = frozenset({ApiFailure.RATE_LIMITED, ApiFailure.DOWN, ApiFailure.TIMED_OUT})
"""Failures that pass by themselves: an agent waits for their end."""
PLATFORM = BLOCKING | {ApiFailure.REFUSED}
"""Failures that are the API's or the set-up's doing, not the agent's."""


@dataclass(slots=True)
class Call:
    """One call, filled in as it goes.

    Times are wall times in seconds since the epoch by the driver's clock; None where it never came to that, and counts
    are None where the API did not state them.

    Attributes:
        number: 1, 2, ... within the attempt.
        path: path of the API.
        began: when its last byte had arrived from the agent.
        queued_s: how long the gateway held it back for its limits.
        first_byte, first_token, ended: of the answer. A single answer has no first token.
        model: as asked; model_named: as the answer names it.
        tokens_in: all input tokens, with those read from (tokens_cached) or written to a cache (tokens_cache_write).
        tokens_out: all output tokens, with those of reasoning (tokens_reasoning).
        error: the API's own words, or what happened to the connection. failure: what that counts as.
        usd: cost by the prices of the sweep; None where the price or the tokens are unknown.

    """

    number: int
    path: str
    began: float
    queued_s: float = 0.0
    first_byte: float | None = None
    first_token: float | None = None
    ended: float | None = None
    model: str | None = None
    model_named: str | None = None
    stream: bool = False
    status: int | None = None
    retry_after: str | None = None
    request_id: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    finish: str | None = None
    error: str | None = None
    failure: str | None = None
    usd: float | None = None


def failure_of_status(status: int) -> ApiFailure | None:
    """What an answer's status counts as; None for success."""
    if status < 400:
        return None
    if status in _RATE_LIMITED:
        return ApiFailure.RATE_LIMITED
    if status in _TIMED_OUT:
        return ApiFailure.TIMED_OUT
    if status in _REFUSED:
        return ApiFailure.REFUSED
    return ApiFailure.DOWN if status >= 500 else ApiFailure.BAD_REQUEST


def failure_of_event(kind: object) -> ApiFailure:
    """What an error event within a stream counts as, by its type."""
    return _EVENTS.get(str(kind), ApiFailure.DOWN)
