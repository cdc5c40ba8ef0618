"""The runner's end of the socket to a supervisor: requests and replies by number, many at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
from typing import Any

HEADER = struct.Struct(">IQ")
Reply = tuple[dict[str, Any], bytes]
HEAD_LIMIT = BODY_LIMIT = 1 << 20
"""Bytes of a reply's head, and of the body of a reply for which nobody asked for more."""


class LinkClosedError(ConnectionError):
    """The supervisor is gone; no reply will come."""


class Link:
    """One connection; `closed` is set when the other end is gone or `close` was called."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._limits: dict[int, int] = {}
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self.ready: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[0] = self.ready

    async def open(self, sock: socket.socket) -> None:
        """Take over our end of the socket pair; the first frame (number 0) says that the supervisor is ready."""
        reader, self._writer = await asyncio.open_connection(sock=sock)
        self._task = asyncio.create_task(self._read(reader))

    async def ask(self, request: dict[str, Any], body: bytes = b"", *, body_limit: int = BODY_LIMIT) -> Reply:
        """Send a request and wait for its reply; LinkClosedError when the supervisor ends before.

        body_limit: bytes of the reply's body; the link is closed on a supervisor that sends more.
        """
        if self.closed.is_set() or self._writer is None:
            raise LinkClosedError
        number = next(self._numbers)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._limits[number] = max(body_limit, BODY_LIMIT)
        head = json.dumps({"id": number, **request}).encode()
        try:
            async with self._lock:
                self._writer.write(HEADER.pack(len(head), len(body)) + head)
                self._writer.write(body)
                await self._writer.drain()
            return await future
        except ConnectionError as error:
            raise LinkClosedError from error
        finally:
            self._waiting.pop(number, None)
            self._limits.pop(number, None)

    async def close(self) -> None:
        """Close our end; whoever still waits gets LinkClosedError."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head_length, body_length = HEADER.unpack(await reader.readexactly(HEADER.size))
                if head_length > HEAD_LIMIT:
                    return
                head = json.loads(await reader.readexactly(head_length))
                if body_length > self._limits.get(head["id"], BODY_LIMIT):
                    return
                body = await reader.readexactly(body_length)
                future = self._waiting.get(head["id"])
                if future is not None and not future.done():
                    future.set_result((head, body))
        except (asyncio.IncompleteReadError, OSError, ValueError, KeyError, TypeError):
            pass  # it ended, or says what nobody can read: either way no reply will come
        finally:
            self._fail()

    def _fail(self) -> None:
        self.closed.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkClosedError())
                future.exception()  # nobody may be waiting any more
