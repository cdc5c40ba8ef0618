"""Frames between client and supervisor: two lengths, a head of fields joined by NUL, a body (pure).

Fields are text as the kernel knows it: bytes that are not UTF-8 travel as surrogates, as in `os.fsencode`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

HEADER = struct.Struct(">IQ")
MAX_HEAD = 1 << 20
"""Bytes; no reply's head comes near; a stream that says more is no supervisor's."""
MAX_BODY = 1 << 24
"""Bytes of a body for which nobody asked for more: samples and counters."""


class FrameError(ConnectionError):
    """What came is no frame: the stream is of no use any more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `fields` (the first is the request's id) and the body."""

    fields: tuple[str, ...]
    body: bytes = b""


def encode_head(fields: Sequence[str], body_length: int) -> bytes:
    """Lengths and head of a frame, its body to follow; ValueError when a field holds a NUL."""
    if any("\0" in field for field in fields):
        raise ValueError("a NUL character cannot be passed to a command")
    head = b"\0".join(map(os.fsencode, fields))
    return HEADER.pack(len(head), body_length) + head


class OversizeError(Exception):
    """A frame with more bytes than anybody asked for: its sender is no supervisor, and no new stream mends that."""


class FrameReader:
    """Puts frames together from pieces of a stream.

    body_limit: bytes that the body of a reply may have, by the request's id; nothing beyond it is ever held.
    """

    def __init__(self, body_limit: Callable[[str], int] = lambda _: MAX_BODY) -> None:
        self._body_limit = body_limit
        self._buffer = bytearray()
        self._lengths: tuple[int, int] | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take a piece; yields the frames that are whole now. FrameError when it cannot be a frame, OversizeError."""
        self._buffer += data
        while True:
            if self._lengths is None:
                if len(self._buffer) < HEADER.size:
                    return
                self._lengths = HEADER.unpack_from(self._buffer)
                if self._lengths[0] > MAX_HEAD:
                    raise FrameError(f"a head of {self._lengths[0]} bytes")
            start = HEADER.size + self._lengths[0]
            end = start + self._lengths[1]
            if len(self._buffer) >= start:
                self._refuse_oversize(start)
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                head, body = bytes(view[HEADER.size : start]), bytes(view[start:end])
            del self._buffer[:end]
            self._lengths = None
            yield Frame(tuple(os.fsdecode(field) for field in head.split(b"\0")), body)

    def _refuse_oversize(self, start: int) -> None:
        assert self._lengths is not None  # noqa: S101 - called behind a whole head
        if self._lengths[1] <= MAX_BODY:
            return
        number = os.fsdecode(bytes(self._buffer[HEADER.size : start]).split(b"\0")[0])
        if self._lengths[1] > self._body_limit(number):
            raise OversizeError(f"a body of {self._lengths[1]} bytes for request {number[:40]!r}")
