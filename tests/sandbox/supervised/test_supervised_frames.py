"""Frames and their seals, without any stream: however they are cut, altered or repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.sandbox.supervised.frames import (
    HEADER,
    MAX_BODY,
    NO_SEAL,
    FrameError,
    FrameReader,
    OversizeError,
    Sealer,
    encode_head,
    stream_key,
)

texts = st.text(st.characters(exclude_characters="\0", max_codepoint=0x10FFFF, exclude_categories=("Cs",)))


@given(st.lists(st.tuples(st.lists(texts, min_size=1, max_size=4), st.binary(max_size=50)), max_size=5), st.data())
def test_frames_come_whole_however_they_are_cut(frames, data):
    stream = b"".join(encode_head(fields, len(body)) + body + NO_SEAL for fields, body in frames)
    reader, found = FrameReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert [(list(frame.fields), frame.body) for frame in found] == frames


def test_fields_need_not_be_utf8_but_a_head_without_end_is_no_frame():
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert next(iter(FrameReader().feed(encode_head([odd], 0) + NO_SEAL))).fields == (odd,)
    with pytest.raises(FrameError):
        list(FrameReader().feed(b"\xff" * 12))


def test_a_body_that_nobody_asked_for_is_never_held():
    huge = HEADER.pack(4, 1 << 40)
    with pytest.raises(OversizeError, match="1099511627776 bytes for request '7'"):
        list(FrameReader(lambda number: MAX_BODY if number == "7" else 1 << 50).feed(huge + b"7\0ok"))
    assert list(FrameReader(lambda _: 1 << 50).feed(huge + b"7\0ok")) == []


KEY = stream_key("0" * 32, "to runner", "theirs", "ours")


def sealed(*frames):
    sealer = Sealer(KEY)
    return [frame + sealer.whole(frame) for frame in frames]


def read(data):
    return [frame.fields[0] for frame in FrameReader(sealer_for=lambda _: Sealer(KEY)).feed(data)]


def test_sealed_frames_are_taken_in_their_order_only():
    first, second, third = sealed(*(encode_head((name, "ok"), 0) for name in "abc"))
    assert read(first + second + third) == ["a", "b", "c"]
    for wrong in (second, first + first, first + third, first[:-1] + bytes([first[-1] ^ 1])):
        with pytest.raises(FrameError, match="something in the sandbox is between"):
            read(wrong)


@given(st.data())
def test_no_byte_of_a_sealed_frame_can_be_another(data):
    (frame,) = sealed(encode_head(("a", "ok", "field"), 4) + b"body")
    at = data.draw(st.integers(HEADER.size, len(frame) - 1))
    with pytest.raises(FrameError):
        read(frame[:at] + bytes([frame[at] ^ data.draw(st.integers(1, 255))]) + frame[at + 1 :])


def test_each_stream_and_direction_has_a_key_of_its_own():
    keys = {stream_key(token, way, *nonces) for token in "ab" for way in "xy" for nonces in ("12", "21", "11")}
    assert len(keys) == 12
    assert stream_key("a", "x", "12", "3") != stream_key("a", "x", "1", "23")
