"""What the calls of one attempt come to: counts, tokens, money, waiting and blocked time; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from raysweep.config.apis import Prices
from raysweep.gateway.call import BLOCKING, PLATFORM, Call
from raysweep.record.evidence import ApiFacts

Span = tuple[float, float]
MILLION = 1_000_000


def cost(call: Call, prices: Prices | None) -> float | None:
    """USD of a call by what the API stated; None where the price of its model, or its tokens, are unknown.

    A call that was answered with an error is free.
    """
    if (call.status or 0) >= 400:
        return 0.0
    if prices is None or call.tokens_in is None or call.tokens_out is None:
        return None
    cached, written = call.tokens_cached or 0, call.tokens_cache_write or 0
    fresh = max(0, call.tokens_in - cached - written)
    cached_price = prices.input if prices.cached is None else prices.cached
    write_price = prices.input if prices.cache_write is None else prices.cache_write
    in_usd = fresh * prices.input + cached * cached_price + written * write_price
    return (in_usd + call.tokens_out * prices.output) / MILLION


def sum_calls(calls: Sequence[Call], end: float, busy: Iterable[Span] = ()) -> ApiFacts:
    """The facts of an attempt whose agent phase ended at `end` (wall time, as the calls').

    busy: when a command of the agent ran in the sandbox: an agent at work there is not kept waiting by the API.
    """
    answered = [c for c in calls if c.failure is None]
    last = calls[-1] if calls else None
    blocked_by = last_platform_failure(calls)
    return ApiFacts(
        calls=len(calls),
        errors=dict(Counter(str(c.failure) for c in calls if c.failure is not None)),
        tokens_in=_total(c.tokens_in for c in calls),
        tokens_out=_total(c.tokens_out for c in calls),
        tokens_cached=_total(c.tokens_cached for c in calls),
        tokens_cache_write=_total(c.tokens_cache_write for c in calls),
        tokens_reasoning=_total(c.tokens_reasoning for c in calls),
        usd=_money(calls),
        unpriced=sum(c.usd is None for c in calls),
        waiting_s=_length(_union((c.began, c.ended or end) for c in calls)),
        blocked_s=_length(_without(_union(_blocked(calls, end)), _union(busy))),
        latency_p50_ms=_quantile([1000 * (c.ended - c.began) for c in answered if c.ended is not None], 0.5),
        latency_p95_ms=_quantile([1000 * (c.ended - c.began) for c in answered if c.ended is not None], 0.95),
        first_token_p50_ms=_quantile(_first_tokens(answered), 0.5),
        first_token_p95_ms=_quantile(_first_tokens(answered), 0.95),
        tokens_per_s_p50=_quantile(_speeds(answered), 0.5),
        tokens_per_s_p95=_quantile(_speeds(answered), 0.95),
        models_named=tuple(sorted({c.model_named for c in answered if c.model_named})),
        last_failure=None if last is None or last.failure not in PLATFORM else str(last.failure),
        main_failure=None if blocked_by is None else str(blocked_by.failure),
        refusal=None if blocked_by is None else _refusal(blocked_by),
    )


def last_platform_failure(calls: Sequence[Call]) -> Call | None:
    """The last call that failed for the API's sake, or None."""
    return next((c for c in reversed(calls) if c.failure in PLATFORM), None)


def _refusal(call: Call) -> str:
    status = f"{call.status} " if call.status else ""
    return f"{status}{call.failure}: {call.error or 'no words'}"


def _blocked(calls: Sequence[Call], end: float) -> Iterable[Span]:
    """When the API kept the attempt waiting: queueing for it, failed calls, and the back-off until the next call."""
    for call in calls:
        if call.queued_s > 0:
            yield call.began, call.began + call.queued_s
        if call.failure in BLOCKING:
            ended = end if call.ended is None else call.ended
            yield call.began, min((c.began for c in calls if c.began >= ended and c is not call), default=end)


def _union(spans: Iterable[Span]) -> list[Span]:
    """The spans as disjoint ones, ascending."""
    merged: list[Span] = []
    for low, high in sorted(s for s in spans if s[1] > s[0]):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _without(spans: Sequence[Span], holes: Sequence[Span]) -> list[Span]:
    """Disjoint spans less disjoint holes."""
    left = list(spans)
    for low, high in holes:
        left = [piece for a, b in left for piece in ((a, min(b, low)), (max(a, high), b)) if piece[1] > piece[0]]
    return left


def _length(spans: Iterable[Span]) -> float:
    return sum(high - low for low, high in spans)


def _total(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _money(calls: Sequence[Call]) -> float | None:
    """The sum of what is known; None where no call's cost is."""
    known = [c.usd for c in calls if c.usd is not None]
    return sum(known) if known else None


def _first_tokens(calls: Iterable[Call]) -> list[float]:
    return [1000 * (c.first_token - c.began - c.queued_s) for c in calls if c.first_token is not None]


def _speeds(calls: Iterable[Call]) -> list[float]:
    """Output tokens per second after the first one, of streams."""
    timed = [(c.tokens_out, c.ended - c.first_token) for c in calls if c.tokens_out and c.first_token and c.ended]
    return [(tokens - 1) / s for tokens, s in timed if s > 0 and tokens > 1]


def _quantile(values: list[float], q: float) -> float | None:
    """By nearest rank."""
    return sorted(values)[max(0, -(-int(q * 100) * len(values) // 100) - 1)] if values else None
