"""A byte stream to the supervisor: a hijacked connection whose answers come in frames of standard output and error."""

from __future__ import annotations

import aiohttp
from aiodocker import DockerError
from aiodocker.execs import Exec
from aiodocker.stream import Stream

STDOUT = 1
NOTED = 2000  # bytes of standard error that are kept for a message
BROKEN = (aiohttp.ClientError, DockerError, OSError, RuntimeError, AssertionError, AttributeError)
"""What aiodocker raises on a stream whose connection is gone; the last two where it finds its transport missing."""


class DockerChannel:
    """Implements `supervised.container.Channel` over one exec."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._complaint = b""

    async def send(self, data: bytes) -> None:
        """Send all of it; ConnectionError when the stream broke."""
        try:
            await self._stream.write_in(data)
        except BROKEN as error:
            raise self._broken(error) from error

    async def receive(self) -> bytes:
        """Some bytes of standard output; b"" when the command ended. ConnectionError when the stream broke."""
        while True:
            try:
                message = await self._stream.read_out()
            except BROKEN as error:
                raise self._broken(error) from error
            if message is None:
                if self._complaint:
                    raise ConnectionError(f"the stream ended: {self._complaint.decode(errors='replace').strip()}")
                return b""
            if message.stream == STDOUT and message.data:
                return message.data
            if message.stream != STDOUT and len(self._complaint) < NOTED:
                self._complaint += message.data

    async def close(self) -> None:
        """Give the stream up."""
        try:
            await self._stream.close()
        except BROKEN:
            return

    def _broken(self, error: Exception) -> ConnectionError:
        said = self._complaint.decode(errors="replace").strip()
        return ConnectionError(f"the stream to the container broke: {error!r} {said}".strip())


async def open_channel(command: Exec) -> DockerChannel:
    """Start the command and take its connection over; DockerError when the engine says no."""
    stream = command.start(detach=False)
    await stream.__aenter__()
    return DockerChannel(stream)
