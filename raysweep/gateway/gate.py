"""Lets calls to one API through in the order of their arrival, within its limits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from raysweep.config.apis import ModelApi
from raysweep.gateway.limits import AdaptiveLimit, Bucket


class Gate:
    """The limits of one API and model in this runner. now: monotonic seconds."""

    def __init__(self, api: ModelApi, share: float, now: Callable[[], float]) -> None:
        self._limit = AdaptiveLimit(api.connections, share)
        self._now = now
        self._in_flight = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        rates = ((api.requests_per_minute, False), (api.tokens_per_minute, True))
        self._buckets = [(Bucket(rate * share), of_tokens) for rate, of_tokens in rates if rate is not None]

    async def enter(self, tokens: float) -> float:
        """Wait for a place among the calls in flight, then for the rates; the seconds that this took.

        tokens: an estimate for the call.
        """
        began, waited = self._now(), False
        if self._in_flight >= self._limit.allowed or self._queue:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            waited = True
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the place was given at this moment: hand it on
                    self._in_flight -= 1
                self._next()
                raise
        else:
            self._in_flight += 1
        try:
            for bucket, of_tokens in self._buckets:
                amount = tokens if of_tokens else 1.0
                while (delay := bucket.delay(amount, self._now())) > 0:
                    waited = True
                    await asyncio.sleep(delay)
                bucket.take(amount, self._now())
        except asyncio.CancelledError:
            self._leave()
            raise
        return self._now() - began if waited else 0.0

    def leave(self, *, rate_limited: bool, answered: bool, more_tokens: float = 0.0) -> None:
        """The call has ended; more_tokens: what it used beyond the estimate, negative for less."""
        if rate_limited:
            self._limit.rate_limited(self._now())
        elif answered:
            self._limit.succeeded()
        for bucket, of_tokens in self._buckets:
            if of_tokens:
                bucket.take(more_tokens, self._now())
        self._leave()

    def _leave(self) -> None:
        self._in_flight -= 1
        self._next()

    def _next(self) -> None:
        while self._queue and self._in_flight < self._limit.allowed:
            turn = self._queue.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
