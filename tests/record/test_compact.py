"""Merging of segments: which, when, what a reader sees in between, and what a crash at each step leaves."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.clock import SystemClock
from raysweep.errors import InputError
from raysweep.record import compact, reader
from raysweep.record.compact import Sized, due, leftover, merge
from raysweep.record.exchange import MARK
from raysweep.record.ledger import LedgerWriter, Seal
from raysweep.record.lock import LocalLock
from raysweep.record.schema import to_table
from raysweep.record.segments import (
    Part,
    counting,
    cover,
    listed,
    merged_name,
    read_segment,
    segment_bytes,
    segment_name,
    segments,
)
from raysweep.record.store import LocalStore


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.time = 0.0

    def now(self):
        return SystemClock().now()

    def monotonic(self):
        return self.time


def row(n):
    return {"trial_id": f"t{n}", "attempt_id": f"t{n}-1", "attempt": 1, "block_run": 1, "outcome": "scored"}


def trials(store):
    return reader.read_attempts(store)["trial_id"].to_pylist()


def names(count):
    return [f"t{n}" for n in range(count)]


class Writer:
    """A writer with segments of one row, whose merges are waited for."""

    def __init__(self, path, start=0):
        self.store, self.clock, self.n = LocalStore(path), SteppedClock(), start
        self.lock = LocalLock(path, self.store, self.clock)
        self.lock.acquire({})
        self.ledger = LedgerWriter(self.store, self.lock, self.clock, Seal(1, 1.0))

    def write(self, count):
        for _ in range(count):
            self.settle()
            self.ledger.append(row(self.n))
            self.n += 1

    def settle(self):
        compactor = self.ledger._compactor
        if compactor._busy is not None:
            compactor._busy[2].exception(60)

    def end(self):
        self.settle()
        self.ledger.close()
        self.lock.release()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Four files make one; a file of sixteen rows is merged no further."""
    monkeypatch.setattr(compact, "FAN", 4)
    monkeypatch.setattr(due, "__defaults__", (4, 16))
    monkeypatch.setattr(leftover, "__defaults__", (16,))


def sized(*rows_and_levels):
    number = itertools.count(1)
    return [
        Sized(Part(1, k, k, None, f"{k}"), r, level) for (r, level), k in zip(rows_and_levels, number, strict=False)
    ]


def files(parts):
    return [Sized(part, 1, 0) for part in parts]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        ([(1, 0)] * 3, []),
        ([(1, 0)] * 4, [1, 2, 3, 4]),
        ([(4, 1)] + [(1, 0)] * 4, [2, 3, 4, 5]),
        ([(4, 1)] * 4 + [(1, 0)], [1, 2, 3, 4]),
        ([(16, 2)] * 5 + [(1, 0)] * 2, []),  # large ones are left alone
        ([(10, 0), (10, 0)], [1, 2]),  # together large enough
        ([(16, 0), (1, 0)], []),
    ],
)
def test_which_files_are_due(files, expected):
    assert [f.part.first for f in due(sized(*files))] == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        ([(1, 0)], []),
        ([(1, 0), (2, 0), (3, 0)], [1, 2, 3]),
        ([(10, 0), (6, 0), (1, 0)], [1, 2]),
        ([(17, 0), (1, 0), (1, 0)], [2, 3]),
        ([(1, 0), (16, 0), (16, 0)], []),
    ],
)
def test_what_an_ended_epoch_still_has_to_merge(files, expected):
    assert [f.part.first for f in leftover(sized(*files))] == expected


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5), st.booleans()), max_size=12), st.integers(1, 12))
@settings(deadline=None)
def test_a_cover_takes_each_number_once_and_never_beyond_the_count(ranges, count):
    parts = [
        Part(1, first, first + more, 1 if merged else None, f"{first}-{more}-{merged}")
        for first, more, merged in dict.fromkeys(ranges)
    ]
    taken, superfluous = cover(parts, count)
    numbers = [n for p in taken for n in range(p.first, p.last + 1)]
    assert len(numbers) == len(set(numbers))
    assert all(p.last <= count for p in (*taken, *superfluous))
    for part in superfluous:
        assert set(range(part.first, part.last + 1)) <= set(range(1, max(numbers) + 1))


def test_many_small_segments_become_few_and_rows_stay_in_order(tmp_path):
    writer = Writer(tmp_path)
    writer.write(70)
    assert trials(writer.store) == names(70)
    sizes = [len(read_segment(writer.store, name)) for name in segments(writer.store)]
    assert len(sizes) <= 4 + 3 + 4 + 3
    assert sizes[:4] == [16] * 4
    writer.end()


def test_the_next_writer_merges_what_earlier_ones_left(tmp_path):
    for _ in range(3):
        writer = Writer(tmp_path, start=len(trials(LocalStore(tmp_path))))
        writer.write(7)
        writer.end()
    writer = Writer(tmp_path, start=21)
    writer.write(10)
    found = counting(writer.store)
    assert trials(writer.store) == names(31)
    assert [p.rows for p in found if p.epoch < 4] == [7, 7, 7]
    writer.end()


def swapped(path):
    return [p for p in path.iterdir() if MARK in p.name]


def test_what_was_merged_is_removed_only_after_a_grace(tmp_path):
    """At once it is in no name's reach, but a listing that is under way still sees all of it."""
    writer = Writer(tmp_path)
    writer.write(6)
    assert not writer.store.exists(segment_name(1, 1))
    assert [min(p.name for p in folder.glob("segment*")) for folder in swapped(tmp_path)] == [
        segment_name(1, 1).removeprefix("ledger/")
    ]
    writer.clock.time += compact.GRACE_S + 1
    writer.write(1)
    assert swapped(tmp_path) == []
    assert trials(writer.store) == names(7)
    writer.end()


def test_a_writer_that_lost_its_lock_removes_nothing(tmp_path):
    writer = Writer(tmp_path)
    writer.write(6)
    writer.clock.time += compact.GRACE_S + 1
    writer.store.put_new("ledger/epoch-0002.json", b'{"epoch": 2, "sealed": {"1": 6}}')
    with pytest.raises(Exception, match="took over"):
        writer.ledger._compactor.step()
    assert len(swapped(tmp_path)) == 1
    writer.end()


def test_a_reader_that_listed_before_a_merge_and_reads_after_it(tmp_path, monkeypatch):
    writer = Writer(tmp_path)
    writer.write(3)
    before = segments(writer.store)
    lists = iter([before])
    monkeypatch.setattr(reader, "segments", lambda store: next(lists, None) or segments(store))
    writer.write(5)
    writer.clock.time += compact.GRACE_S + 1
    writer.write(1)
    with pytest.raises(FileNotFoundError):
        read_segment(writer.store, before[0])
    assert trials(writer.store) == names(9)
    writer.end()


def test_a_listing_that_sees_neither_the_merged_file_nor_the_segments_is_made_again(tmp_path):
    writer = Writer(tmp_path)
    writer.write(9)
    writer.end()

    class Torn(LocalStore):
        """Its first listing is not one moment."""

        lists = 0

        def names(self, folder):
            self.lists += 1
            found = super().names(folder)
            return [n for n in found if "000002" not in n] if self.lists == 1 else found

    assert trials(Torn(tmp_path)) == names(9)


def test_a_crash_between_the_steps_of_a_merge_loses_and_duplicates_nothing(tmp_path):
    writer = Writer(tmp_path)
    writer.write(3)
    writer.end()
    store = LocalStore(tmp_path)
    (tmp_path / "ledger" / ".merged-0001-000001-000002-00000002.parquet.1.tmp").write_bytes(b"half")
    assert trials(store) == names(3)
    merge(store, files(listed(store)[1][:2]))
    assert [p.rows for p in counting(store)] == [2, None]
    assert trials(store) == names(3)
    merge(store, files(counting(store)))  # the same merge, again, and one of a merged file
    assert [p.rows for p in counting(store)] == [3]
    assert trials(store) == names(3)
    store.remove(segment_name(1, 2))  # a crash in the middle of the removals
    assert trials(store) == names(3)
    after = Writer(tmp_path, start=3)
    after.write(1)
    after.clock.time += compact.GRACE_S + 1
    after.write(2)
    assert [p.name for p in listed(store)[1]] == [merged_name(1, 1, 3, 3).replace("merged/", "ledger/")]
    assert trials(store) == names(6)
    after.end()


def test_a_merge_of_more_than_counts_does_not_count(tmp_path):
    writer = Writer(tmp_path)
    writer.write(3)
    writer.end()
    store = LocalStore(tmp_path)
    store.put_new("ledger/epoch-0002.json", b'{"epoch": 2, "sealed": {"1": 2}}')
    merge(store, files(listed(store)[1]))
    assert trials(store) == names(2)


def test_a_segment_that_is_missing_is_named(tmp_path):
    writer = Writer(tmp_path)
    writer.write(3)
    writer.end()
    (tmp_path / segment_name(1, 2)).unlink()
    with pytest.raises(InputError, match=r"segment-0001-000002\.parquet: .*missing"):
        trials(LocalStore(tmp_path))


def test_a_missing_last_segment_is_named_once_another_epoch_began(tmp_path):
    writer = Writer(tmp_path)
    writer.write(3)
    writer.end()
    Writer(tmp_path).end()
    (tmp_path / segment_name(1, 3)).unlink()
    with pytest.raises(InputError, match=r"segment-0001-000003\.parquet: .*missing"):
        trials(LocalStore(tmp_path))


def test_every_flipped_bit_is_found(tmp_path):
    data = segment_bytes(to_table([row(n) | {"detail": f"text {n}", "node": {"cpus": n}} for n in range(3)]))
    table = read_segment(store_with(tmp_path / "0", data), segment_name(1, 1))
    undetected, told = [], set()
    for place in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        try:
            found = read_segment(Memory(bytes(flipped)), segment_name(1, 1))
        except InputError as error:
            told.add(error.problems[0].file)
        else:
            undetected.append(place)
            assert found.equals(table)
    assert told == {f"memory/{segment_name(1, 1)}"}
    # a flip in the digest's own key leaves the page checksums, and a table that is right
    assert len(undetected) <= 3


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_torn_segment_is_named(kept):
    data = segment_bytes(to_table([row(1)]))
    with pytest.raises(InputError, match=r"segment-0001-000001\.parquet: .*cannot be read.*restore it from a copy"):
        read_segment(Memory(data[: int(len(data) * kept)]), segment_name(1, 1))


def test_a_damaged_segment_is_never_merged(tmp_path):
    writer = Writer(tmp_path)
    writer.write(3)
    writer.end()
    path = tmp_path / segment_name(1, 2)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    writer = Writer(tmp_path, start=3)
    with pytest.raises(InputError, match="segment-0001-000002"):
        writer.write(3)
    assert writer.store.exists(segment_name(2, 1))
    assert writer.store.exists(segment_name(1, 2))
    writer.ledger.close()
    writer.lock.release()


def test_a_file_without_a_digest_is_read_by_its_page_checksums(tmp_path):
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(to_table([row(1)]), sink, write_page_checksum=True)
    assert read_segment(Memory(sink.getvalue().to_pybytes()), "x")["trial_id"].to_pylist() == ["t1"]


class Memory:
    """A store with one blob under every name."""

    where = "memory"

    def __init__(self, data):
        self.data = data

    def get(self, name):
        return self.data


def store_with(path, data):
    store = LocalStore(path)
    store.put_new(segment_name(1, 1), data)
    return store
