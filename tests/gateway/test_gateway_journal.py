"""Calls on disk: what a runner that dies leaves, and what is read of it."""

from __future__ import annotations

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from raysweep.gateway.call import Call
from raysweep.gateway.journal import NAME, Journal, read_journal
from raysweep.gateway.table import calls_parquet, read_calls


def test_each_call_is_read_once_as_it_stood_last(tmp_path):
    journal = Journal(tmp_path / "trace")
    one, two = Call(1, "/v1/messages", 10.0), Call(2, "/v1/messages", 11.0, model="m")
    for call in (one, two):
        journal.note(call)
    one.ended, one.tokens_in, one.failure = 12.0, 7, "down"
    journal.note(one)
    assert [asdict(c) for c in read_journal(tmp_path / "trace")] == [asdict(one), asdict(two)]


@given(st.integers(0, 400))
def test_a_torn_file_gives_the_calls_before_the_tear(tmp_path_factory, size):
    folder = tmp_path_factory.mktemp("trace")
    journal = Journal(folder)
    for number in (1, 2, 3):
        journal.note(Call(number, "/", float(number)))
    whole = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(whole[:size])
    complete = whole[:size].count(b"}")
    assert [c.number for c in read_journal(folder)] == list(range(1, complete + 1))


def test_an_attempt_of_the_same_name_begins_anew(tmp_path):
    Journal(tmp_path).note(Call(1, "/", 1.0))
    Journal(tmp_path)
    assert read_journal(tmp_path) == []


def test_a_folder_that_takes_nothing_loses_the_journal_only(tmp_path):
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "below")
    journal.note(Call(1, "/", 1.0))
    assert read_journal(tmp_path / "file" / "below") == []


def test_the_parquet_file_gives_back_its_calls():
    calls = [
        Call(1, "/v1/messages", 1e9 + 0.25, ended=1e9 + 1.5, tokens_in=3, usd=0.5),
        Call(2, "/", 1e9 + 2.0, stream=True),
    ]
    assert [asdict(c) for c in read_calls(calls_parquet(calls))] == [asdict(c) for c in calls]
