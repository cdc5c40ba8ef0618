"""Exactly once and in order, whatever is merged, taken over, torn or restarted while one reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.dataset.cursor import Cursor, parse_cursor
from raysweep.dataset.follow import LISTINGS, Follower
from raysweep.errors import InputError
from raysweep.record.reader import read_attempts
from raysweep.record.segments import read_segment, segment_bytes, segment_name
from support.ledgers import Ledger, attempts, row

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seal"), st.integers(1, 3)),
        st.tuples(st.just("merge"), st.integers(0, 3), st.integers(2, 4)),
        st.sampled_from([("begin",), ("sweep",), ("take",), ("take",), ("restart",), ("half",)]),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_every_attempt_once_in_the_order_of_the_ledger(steps):
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        follower, seen = Follower(ledger.store), []
        for step, *sizes in steps:
            if step == "seal":
                ledger.seal(*sizes)
            elif step == "merge" and len(ledger.files(ledger.epoch)[sizes[0] : sizes[0] + sizes[1]]) > 1:
                ledger.merge(ledger.epoch, sizes[0], sizes[0] + sizes[1])
            elif step == "begin":
                ledger.begin()
            elif step == "sweep":
                ledger.sweep_up()
            elif step == "take":
                seen += attempts(follower.take())
            elif step == "restart":  # anywhere: what was taken is behind the cursor
                follower = Follower(ledger.store, follower.cursor and parse_cursor(str(follower.cursor)))
            elif step == "half":  # a reader that stops between two files
                for piece in follower.take():
                    seen += attempts([piece])
                    break
        seen += attempts(follower.take())
        assert (
            seen == read_attempts(ledger.store)["attempt_id"].to_pylist() == [f"t{n}-1" for n in range(ledger.trials)]
        )


def test_a_stream_may_begin_behind_any_row_whatever_was_merged_since(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.seal(3)
    ledger.merge(1, 0, 2)
    ledger.begin()
    ledger.seal(2)
    cursors = [cursor for piece in Follower(ledger.store).take() for cursor in piece.cursors()]
    ledger.merge(1, 0, 2)
    ledger.sweep_up()
    everything = [f"t{n}-1" for n in range(11)]
    for n, cursor in enumerate(cursors):
        assert attempts(Follower(ledger.store, cursor).take()) == everything[n + 1 :]


def segments_of(ledger, after=None):
    """(segment, attempts) of what a follower gives, cut where segments were sealed."""
    pieces = [one for piece in Follower(ledger.store, after).take() for one in piece.split()]
    return [(one.sealed[0].segment, attempts([one])) for one in pieces]


def test_pieces_are_the_sealed_segments_whatever_was_merged(tmp_path):
    ledger = Ledger(tmp_path)
    for count in (3, 1, 2, 4):
        ledger.seal(count)
    sealed = segments_of(ledger)
    assert [(number, len(rows)) for number, rows in sealed] == [(1, 3), (2, 1), (3, 2), (4, 4)]
    for begin, end in ((1, 3), (0, 2), (0, 2)):  # a file, that file with the one before, and all
        ledger.merge(1, begin, end)
        ledger.sweep_up()
        assert segments_of(ledger) == sealed
    assert len(ledger.files(1)) == 1
    assert segments_of(ledger, Cursor(1, 3, "t4-1")) == [(3, ["t5-1"]), (4, ["t6-1", "t7-1", "t8-1", "t9-1"])]


def test_a_merged_file_that_keeps_no_segments_is_one_also_once_it_is_merged_again(tmp_path):
    ledger = Ledger(tmp_path)
    for count in (3, 1, 2):
        ledger.seal(count)
    ledger.merge(1, 0, 2)
    ledger.sweep_up()
    file = tmp_path / ledger.files(1)[0].name
    file.write_bytes(segment_bytes(read_segment(ledger.store, ledger.files(1)[0].name)))  # as older versions wrote it
    before = segments_of(ledger)
    assert before == [(1, ["t0-1", "t1-1", "t2-1", "t3-1"]), (3, ["t4-1", "t5-1"])]
    ledger.merge(1, 0, 2)
    ledger.sweep_up()
    assert segments_of(ledger) == before


def test_counts_that_are_not_those_of_the_rows_are_refused(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.seal(3)
    file = tmp_path / segment_name(1, 1)
    file.write_bytes(segment_bytes(read_segment(ledger.store, segment_name(1, 1)), sealed="1:2"))
    follower = Follower(ledger.store)
    assert [list(follower.take()) for _ in range(LISTINGS - 1)] == [[]] * (LISTINGS - 1)
    with pytest.raises(InputError, match="counts of rows"):
        list(follower.take())


def test_what_is_merged_between_listing_and_reading_comes_at_the_next_look(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.seal(2)
    follower, seen = Follower(ledger.store), []
    for piece in follower.take():
        seen += attempts([piece])
        if len(seen) == 2:
            ledger.merge(1, 0, 3)
            ledger.sweep_up()
    assert not follower.settled
    assert seen == ["t0-1", "t1-1"]
    assert seen + attempts(follower.take()) == [f"t{n}-1" for n in range(6)]
    assert follower.settled


@pytest.mark.parametrize("restarted", [False, True])
def test_an_attempt_that_a_fenced_writer_showed_is_not_shown_again(tmp_path, restarted):
    ledger = Ledger(tmp_path)
    ledger.seal(2)
    follower = Follower(ledger.store)
    # A successor lists one segment; before its epoch begins, the old writer seals two more and a reader sees the first.
    ledger.seal_rows([row(7), row(8)])
    seen = attempts(follower.take())
    ledger.seal_rows([row(9)])
    ledger.epoch, ledger.number = 2, 0
    ledger.store.put_new("ledger/epoch-0002.json", b'{"epoch": 2, "began": 0, "sealed": {"1": 1}}')
    if restarted:
        follower = Follower(ledger.store, follower.cursor)
    ledger.seal_rows([row(8), row(3)])
    seen += attempts(follower.take())
    ledger.seal_rows([row(7), row(9)])
    seen += attempts(follower.take())
    assert seen == ["t0-1", "t1-1", "t7-1", "t8-1", "t3-1", "t9-1"]


def test_what_a_fenced_writer_seals_later_is_never_shown(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.seal(2)
    follower = Follower(ledger.store)
    seen = attempts(follower.take())
    ledger.begin()
    ledger.seal_rows([row(8)], epoch=1)
    ledger.seal(1)
    assert seen + attempts(follower.take()) == ["t0-1", "t1-1", "t2-1"]


def test_damage_is_told_once_it_stays(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.seal(2)
    ledger.seal(2)
    torn = tmp_path / segment_name(1, 2)
    whole = torn.read_bytes()
    torn.write_bytes(whole[:-40] + bytes(40))
    follower = Follower(ledger.store)
    seen = attempts(follower.take())
    for _ in range(LISTINGS - 2):
        seen += attempts(follower.take())
    assert seen == ["t0-1", "t1-1"]
    with pytest.raises(InputError, match="segment-0001-000002"):
        list(follower.take())
    torn.write_bytes(whole)
    assert attempts(follower.take()) == ["t2-1", "t3-1"]


def test_a_cursor_of_another_run_is_refused(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.seal(2)
    follower = Follower(ledger.store, Cursor(1, 1, "x-1"))
    assert [list(follower.take()) for _ in range(LISTINGS - 1)] == [[]] * (LISTINGS - 1)
    with pytest.raises(InputError, match="of another run"):
        list(follower.take())


@pytest.mark.parametrize("text", ["", "1/2", "a/1/t", "1/2/"])
def test_a_text_that_is_no_cursor_is_refused(text):
    with pytest.raises(InputError, match="not a cursor"):
        parse_cursor(text)
