"""Lets agents import what they need before their first trial in a process, once, within a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future

WARM_TIMEOUT_S = 600.0
_warmed: dict[object, Future[BaseException | None]] = {}


async def warm_once(key: object, warm: Callable[[], None], timeout_s: float = WARM_TIMEOUT_S) -> BaseException | None:
    """What `warm` raised in this process, TimeoutError where it did not end, or None.

    The first call for a `key` starts it, in a daemon thread that nothing waits for at exit; further calls wait for the
    same end.
    """
    if key not in _warmed:
        _warmed[key] = Future()
        threading.Thread(target=_run, args=(warm, _warmed[key]), name="raysweep-warm", daemon=True).start()
    ended = _warmed[key]
    waiting = asyncio.wrap_future(ended)
    done, _ = await asyncio.wait({waiting}, timeout=timeout_s)
    if not done:
        with contextlib.suppress(Exception):  # it ended at this moment
            ended.set_result(TimeoutError(f"warm did not end within {timeout_s:g} s"))
    return ended.result()


def _run(warm: Callable[[], None], ended: Future[BaseException | None]) -> None:
    error: BaseException | None = None
    try:
        warm()
    except BaseException as raised:  # noqa: BLE001 - SystemExit of an agent is an error like any other
        error = raised
    with contextlib.suppress(Exception):  # its time was over before
        ended.set_result(error)
