"""Any tool that reads ledger/*.parquet gets every attempt once: while merging, after crashes, when fenced off."""

from __future__ import annotations

import glob
import io
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from raysweep.clock import SystemClock
from raysweep.dataset.follow import Follower
from raysweep.errors import LockLostError
from raysweep.record import compact, exchange
from raysweep.record.compact import Sized, due, leftover, merge
from raysweep.record.epoch import begin_epoch
from raysweep.record.ledger import LedgerWriter, Seal
from raysweep.record.lock import LocalLock
from raysweep.record.objectlock import ObjectLock
from raysweep.record.objectstore import ObjectStore
from raysweep.record.reader import read_attempts
from raysweep.record.schema import to_table
from raysweep.record.segments import counting, listed, sealed_counts, segment_bytes, segment_name
from raysweep.record.store import LocalStore
from support.cli_runs import simulated, status_of
from support.ledgers import attempts, row

PATIENCE_S = 120.0


def plain(path: Path) -> list[str]:
    """The attempts as a reader sees them that knows nothing of raysweep; it lists again where a file went meanwhile."""
    for _ in range(20):
        files = glob.glob(f"{path}/ledger/*.parquet")  # noqa: PTH207 - what people write
        if not files:
            return []
        try:
            return pyarrow.dataset.dataset(sorted(files)).to_table(columns=["attempt_id"])["attempt_id"].to_pylist()
        except FileNotFoundError:
            continue
    raise AssertionError("files go faster than they can be read")


def plain_bucket(store: ObjectStore) -> list[str]:
    """The same in a bucket."""
    files = [name for name in store.names("ledger") if name.endswith(".parquet")]
    tables = [pq.read_table(io.BytesIO(store.get(f"ledger/{name}")), columns=["attempt_id"]) for name in files]
    return [attempt for table in tables for attempt in table["attempt_id"].to_pylist()]


def once(found: list[str], count: int) -> bool:
    return sorted(found) == sorted(f"t{n}-1" for n in range(count))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Four files make one."""
    monkeypatch.setattr(due, "__defaults__", (4, 16))
    monkeypatch.setattr(leftover, "__defaults__", (16,))


class Writer:
    """A writer of segments of one row, on a disk or in a bucket, whose merges are waited for."""

    def __init__(self, store, clock=None):
        self.store, self.clock = store, clock or SystemClock()
        self.lock = (
            LocalLock(store.root, store, self.clock)
            if isinstance(store, LocalStore)
            else ObjectLock(store, self.clock, renew_s=60.0)
        )
        self.lock.acquire({})
        self.ledger = LedgerWriter(store, self.lock, self.clock, Seal(1, 3600.0))

    def write(self, *numbers):
        for n in numbers:
            busy = self.ledger._compactor._busy
            if busy is not None:
                busy[2].exception(60)
            self.ledger.append(row(n))

    def end(self):
        self.ledger.close()
        self.lock.release()


def test_after_every_seal_and_merge_each_attempt_is_there_once(tmp_path):
    writer = Writer(LocalStore(tmp_path))
    for n in range(70):
        writer.write(n)
        assert once(plain(tmp_path), n + 1)
    writer.end()
    assert len(list((tmp_path / "ledger").glob("*.parquet"))) < 16
    assert list((tmp_path / "merged").glob("*")) in ([], [tmp_path / counting(writer.store)[-1].name])


def test_where_folders_cannot_be_exchanged_the_parts_stay_for_plain_readers(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "_swap", lambda *_: False)
    writer = Writer(LocalStore(tmp_path))
    for n in range(40):
        writer.write(n)
        assert once(plain(tmp_path), n + 1)
    writer.end()
    assert len(list((tmp_path / "ledger").glob("segment-*"))) == 40
    assert len(counting(writer.store)) < 16
    assert once(read_attempts(writer.store)["attempt_id"].to_pylist(), 40)
    assert [p.name for p in tmp_path.iterdir() if exchange.MARK in p.name] == []


def test_in_a_bucket_each_attempt_is_there_once(bucket):
    store = ObjectStore(bucket)
    writer = Writer(store)
    for n in range(24):
        writer.write(n)
        assert once(plain_bucket(store), n + 1)
    writer.end()
    after = Writer(store)
    after.write(24, 25)
    after.end()
    assert once(plain_bucket(store), 26)
    assert len(counting(store)) < 16
    assert once(read_attempts(store)["attempt_id"].to_pylist(), 26)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_the_exchange_shows_no_attempt_twice_and_the_next_writer_goes_on(tmp_path, monkeypatch, moment):
    writer, swap = Writer(LocalStore(tmp_path)), exchange._swap

    def crash(one, other):
        if moment == "after":
            assert swap(one, other)
        raise KeyboardInterrupt

    monkeypatch.setattr(exchange, "_swap", crash)
    monkeypatch.setattr(exchange.shutil, "rmtree", lambda *_, **__: None)  # a killed process removes nothing
    with pytest.raises(KeyboardInterrupt):
        writer.write(*range(99))
    written = writer.ledger._sealed
    monkeypatch.undo()
    monkeypatch.setattr(due, "__defaults__", (4, 16))
    assert once(plain(tmp_path), written)
    assert once(read_attempts(writer.store)["attempt_id"].to_pylist(), written)
    writer.end()
    after = Writer(writer.store)
    assert once(plain(tmp_path), written)
    after.write(*range(written, written + 9))
    assert once(plain(tmp_path), written + 9)
    assert once(read_attempts(writer.store)["attempt_id"].to_pylist(), written + 9)
    after.end()


def test_a_crash_after_a_merged_file_was_written_and_before_it_is_shown(tmp_path):
    writer = Writer(LocalStore(tmp_path))
    writer.write(0, 1, 2)
    writer.end()
    merge(writer.store, [Sized(part, 1, 0) for part in listed(writer.store)[1]])
    assert once(plain(tmp_path), 3)
    after = Writer(writer.store)
    assert once(plain(tmp_path), 3)
    assert [p.name for p in (tmp_path / "ledger").glob("*.parquet")] == ["merged-0001-000001-000003-00000003.parquet"]
    assert list((tmp_path / "merged").iterdir()) == []
    after.end()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_run_directory_of_an_earlier_version_is_put_in_order_by_its_next_writer(tmp_path, monkeypatch, can_exchange):
    """It has merged files beside their parts: readers of ours are right from the start, plain ones from then on."""
    with tarfile.open(Path(__file__).parent / "ledgers" / "simulated.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    if not can_exchange:
        monkeypatch.setattr(exchange, "_swap", lambda *_: False)
    store = LocalStore(tmp_path)
    right = read_attempts(store)["attempt_id"].to_pylist()
    assert len(plain(tmp_path)) > len(right)
    Writer(store).end()
    assert sorted(plain(tmp_path)) == sorted(right)
    assert read_attempts(store)["attempt_id"].to_pylist() == right


def successor(store, epoch):
    begin_epoch(store, epoch, 0.0, sealed_counts(store), {})


def test_what_a_fenced_writer_seals_is_put_out_of_sight_at_once(tmp_path):
    store = LocalStore(tmp_path)
    writer, beat = Writer(store), LocalLock.beat
    writer.write(0, 1)
    follower = Follower(store)
    assert attempts(follower.take()) == ["t0-1", "t1-1"]
    LocalLock.beat = lambda self, **_: successor(store, 2) if not store.exists("ledger/epoch-0002.json") else None
    try:  # the pause: its successor begins after it asked, and before it writes
        with pytest.raises(LockLostError, match="took over"):
            writer.write(2)
    finally:
        LocalLock.beat = beat
    assert once(plain(tmp_path), 2)
    store.put_new(segment_name(2, 1), segment_bytes(to_table([row(2)])))
    assert once(plain(tmp_path), 3)
    assert attempts(follower.take()) == ["t2-1"]
    writer.lock.release()


def test_what_a_fenced_writer_sealed_before_it_was_killed_is_put_out_of_sight_by_the_next_writer(tmp_path):
    store = LocalStore(tmp_path)
    writer = Writer(store)
    writer.write(0, 1)
    writer.end()
    successor(store, 2)
    store.put_new(segment_name(1, 3), segment_bytes(to_table([row(2)])))
    store.put_new(segment_name(2, 1), segment_bytes(to_table([row(2)])))
    after = Writer(store)
    assert once(plain(tmp_path), 3)
    assert once(read_attempts(store)["attempt_id"].to_pylist(), 3)
    assert [part.plain for part in listed(store)[1] if part.last == 3] == [False]
    after.end()


CHILD = """
import sys
from raysweep.record import compact, ledger
compact.due.__defaults__, compact.leftover.__defaults__ = (4, 256), (256,)
ledger.LOCAL = ledger.Seal(4, 0.05)
from raysweep.cli.process import main
sys.argv = ["raysweep", "run", *sys.argv[1:]]
sys.exit(main())
"""


def test_a_plain_reader_beside_a_sweep_that_is_killed_and_resumed(tmp_path):
    """Each read has every attempt once, and never fewer than the read before."""
    run, config = tmp_path / "run", simulated(tmp_path, tasks=150)
    seen, kills, reads = 0, 0, 0
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(config), "--run-dir", str(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        begun = seen
        while child.poll() is None:
            found = plain(run)
            assert len(found) == len(set(found))
            assert len(found) >= seen
            seen, reads = len(found), reads + 1
            if kills < 3 and seen > begun + 60:
                child.kill()
                kills += 1
        if child.wait() == 0:
            break
    assert kills == 3
    assert reads > 10
    found = plain(run)
    assert len(found) == len(set(found)) == len(read_attempts(LocalStore(run)))
    assert status_of(run)["complete"]
    assert any(name.startswith("merged-") for name in LocalStore(run).names("ledger"))


def test_pandas_reads_each_attempt_once(tmp_path):
    pandas = pytest.importorskip("pandas")
    writer = Writer(LocalStore(tmp_path))
    writer.write(*range(21))
    writer.end()
    frames = [pandas.read_parquet(file) for file in (tmp_path / "ledger").glob("*.parquet")]
    found = pandas.concat(frames)["attempt_id"]
    assert once(list(found), 21)
    assert compact.GRACE_S > 0
