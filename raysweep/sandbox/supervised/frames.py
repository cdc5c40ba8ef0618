"""Frames between client and supervisor: two lengths, a head of fields joined by NUL, a body, a seal (pure).

A stream passes through the sandbox, where the task may be root. So each frame ends with a seal: an HMAC-SHA256 under a
key of the stream and its direction, over the frame's number and content. Whoever is between can end a stream, and
neither alter, repeat nor leave out anything of it.

Fields are text as the kernel knows it: bytes that are not UTF-8 travel as surrogates, as in `os.fsencode`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

HEADER = struct.Struct(">IQ")
SEAL_LENGTH = 32
NO_SEAL = bytes(SEAL_LENGTH)
"""Behind the first frame of a client: there is no key yet."""
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


def digest_of(token: str) -> str:
    """What a supervisor is given of its token: enough to know it, of no use to others."""
    return hashlib.sha256(token.encode()).hexdigest()


def _root(token: str) -> bytes:
    return hashlib.sha256(b"raysweep key " + token.encode()).digest()


def keeper_proof(token: str) -> str:
    """What the supervisor shows to its keeper; the keeper is given the digest of it."""
    return _hmac(_root(token), b"keeper\0").hex()


def stream_key(token: str, direction: str, theirs: str, ours: str) -> bytes:
    """Key of one direction ("to supervisor", "to runner") of a stream; both nonces: the client's, the supervisor's."""
    return _hmac(_root(token), b"".join(text.encode() + b"\0" for text in (direction, theirs, ours)))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


class Sealer:
    """Makes the seals of one direction of a stream: `begin`, `add` all bytes of the frame, `seal`."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0
        self._mac = hmac.new(key, digestmod="sha256")

    def begin(self) -> None:
        """Begin the next frame."""
        self._mac = hmac.new(self._key, self._count.to_bytes(8, "big"), "sha256")
        self._count += 1

    def add(self, data: bytes | memoryview) -> None:
        """Add bytes of the frame."""
        self._mac.update(data)

    def seal(self) -> bytes:
        """The seal of what was added."""
        return self._mac.digest()

    def whole(self, frame: bytes | memoryview) -> bytes:
        """The seal of the next frame, given whole."""
        self.begin()
        self.add(frame)
        return self.seal()


class OversizeError(Exception):
    """A frame with more bytes than anybody asked for: its sender is no supervisor, and no new stream mends that."""


class FrameReader:
    """Puts frames together from pieces of a stream.

    body_limit: bytes that the body of a reply may have, by the request's id; nothing beyond it is ever held.
    sealer_for: asked once with the fields of the first frame; who seals this frame and those behind it. None: nobody.
    """

    def __init__(
        self,
        body_limit: Callable[[str], int] = lambda _: MAX_BODY,
        sealer_for: Callable[[tuple[str, ...]], Sealer | None] = lambda _: None,
    ) -> None:
        self.sealer: Sealer | None = None
        self._sealer_for: Callable[[tuple[str, ...]], Sealer | None] | None = sealer_for
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
            if len(self._buffer) < end + SEAL_LENGTH:
                return
            with memoryview(self._buffer) as view:
                head, body = bytes(view[HEADER.size : start]), bytes(view[start:end])
                fields = tuple(os.fsdecode(field) for field in head.split(b"\0"))
                self._check_seal(fields, view[:end], bytes(view[end : end + SEAL_LENGTH]))
            del self._buffer[: end + SEAL_LENGTH]
            self._lengths = None
            yield Frame(fields, body)

    def _check_seal(self, fields: tuple[str, ...], frame: memoryview, seal: bytes) -> None:
        if self._sealer_for is not None:
            self.sealer, self._sealer_for = self._sealer_for(fields) or self.sealer, None
        with frame:
            if self.sealer is not None and not hmac.compare_digest(self.sealer.whole(frame), seal):
                raise FrameError("a frame whose seal does not fit: something in the sandbox is between")

    def _refuse_oversize(self, start: int) -> None:
        assert self._lengths is not None  # noqa: S101 - called behind a whole head
        if self._lengths[1] <= MAX_BODY:
            return
        number = os.fsdecode(bytes(self._buffer[HEADER.size : start]).split(b"\0")[0])
        if self._lengths[1] > self._body_limit(number):
            raise OversizeError(f"a body of {self._lengths[1]} bytes for request {number[:40]!r}")
