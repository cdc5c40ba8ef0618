"""Byte streams into a pod: one exec of `supervisor call`, as a WebSocket of the protocol v5.channel.k8s.io.

Each message begins with a byte that names its channel: 0 standard input, 1 output, 2 error, 3 the final status, 255 the
end of the channel that follows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence

import aiohttp

from raysweep.apiserver import Api, pods

PROTOCOL = "v5.channel.k8s.io"
MAX_EXECS = 4
"""Streams at once into one pod: of 100 at once most were never answered (seen)."""

_STDIN, _STDOUT, _STDERR, _STATUS = 0, 1, 2, 3
_END_OF_STDIN = bytes((255, _STDIN))
_CHUNK = 1 << 16
_ENDINGS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


async def open_exec(
    api: Api, namespace: str, pod: str, container: str, command: Sequence[str], on_close: Callable[[], None]
) -> ExecChannel:
    """Start `command` in a container, with its standard streams; `on_close` is called once when the stream is closed.

    ApiError when the API server refuses; what the kubelet refuses comes as ConnectionError of the first `receive`.
    """
    query = [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    query += [("command", part) for part in command]
    socket = await api.websocket(pods(namespace, pod) + "/exec", query, PROTOCOL)
    return ExecChannel(socket, on_close)


class ExecChannel:
    """An open exec as a `Channel`: its standard input and output. Its standard error is the text of failures."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, on_close: Callable[[], None]) -> None:
        self._socket = socket
        self._on_close: Callable[[], None] | None = on_close
        self._stderr = b""
        self._over: str | None = None

    async def send(self, data: bytes) -> None:
        """Send all of it; ConnectionError when the stream broke."""
        view = memoryview(data)
        try:
            for start in range(0, len(view), _CHUNK):
                await self._socket.send_bytes(b"\x00" + view[start : start + _CHUNK])
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(str(error)) from error

    async def receive(self) -> bytes:
        """Some bytes; b"" when the command ended with exit 0, ConnectionError for every other end of the stream."""
        while self._over is None:
            message = await self._socket.receive()
            if message.type in _ENDINGS:
                raise self._broken(f"the stream was closed ({message.extra or message.data})")
            data: bytes = message.data if isinstance(message.data, bytes) else str(message.data).encode()
            if data[:1] == bytes((_STDOUT,)) and len(data) > 1:
                return data[1:]
            if data[:1] == bytes((_STDERR,)):
                self._stderr = (self._stderr + data[1:])[-1000:]
            elif data[:1] == bytes((_STATUS,)):
                self._over = _failure(data[1:])
        if self._over:
            raise self._broken(self._over)
        return b""

    async def end(self) -> None:
        """Close the command's standard input and go on reading; ConnectionError when the stream broke."""
        try:
            await self._socket.send_bytes(_END_OF_STDIN)
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(str(error)) from error

    async def close(self) -> None:
        """Give the stream up; the command's standard input ends with it."""
        on_close, self._on_close = self._on_close, None
        if on_close is None:
            return
        try:
            with contextlib.suppress(ConnectionError):
                await self.end()
            await self._socket.close()
        finally:
            on_close()

    def _broken(self, why: str) -> ConnectionError:
        told = self._stderr.decode(errors="replace").strip()
        return ConnectionError(f"{why}: {told}" if told else why)


def _failure(status: bytes) -> str:
    """Why the exec failed, "" when it did not; the status is a JSON object of kind Status."""
    told = json.loads(status)
    if told.get("status") == "Success":
        return ""
    return str(told.get("message") or told.get("reason") or "the exec failed without a word")
