"""A run as a Ray Dataset: in batch, as it grows, with its reader killed, and with files merged under it."""

from __future__ import annotations

import pytest

from raysweep import dataset
from raysweep.dataset import view
from raysweep.errors import InputError
from raysweep.record.reader import read_attempts, read_plan, with_is_final
from raysweep.record.schema import COLUMNS
from support.ledgers import Ledger, row
from support.reader_process import kill_reader

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("embedded_ray")]

NAMES = [c.name for c in COLUMNS]


def rows_of(made):
    """Rows in the order in which they come; they come one by one where they are streamed."""
    for batch in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


def attempts(made):
    return [r["attempt_id"] for r in rows_of(made)]


@pytest.fixture
def retried(tmp_path):
    """Six segments in two epochs; trial 0 has a second attempt."""
    ledger = Ledger(tmp_path, planned=20)
    ledger.seal_rows([row(0, outcome="infra", cause="node_lost", cause_class="platform", reward=None)])
    ledger.trials = 1
    for _ in range(3):
        ledger.seal(4)
    ledger.begin()
    ledger.seal_rows([row(0, attempt_id="t0-2", attempt=2)])
    ledger.seal(7)
    return ledger


@pytest.mark.parametrize("task_rows", [1, 6, 1000])
def test_a_batch_has_every_attempt_and_says_which_are_final(retried, monkeypatch, task_rows):
    monkeypatch.setattr(view, "TASK_ROWS", task_rows)
    expected = with_is_final(read_attempts(retried.store), read_plan(retried.store, "here"))
    found = list(rows_of(dataset.read(retried.path)))
    assert [{n: r[n] for n in [*NAMES, "is_final"]} for r in found] == expected.to_pylist()
    assert [r["attempt_id"] for r in found if not r["is_final"]] == ["t0-1"]


def test_a_batch_reads_what_was_merged_after_it_was_made(retried, monkeypatch):
    monkeypatch.setattr(view, "TASK_ROWS", 1)
    made = dataset.read(retried.path)
    retried.merge(1, 0, 3)
    retried.merge(2, 0, 2)
    retried.sweep_up()
    assert attempts(made) == read_attempts(retried.store)["attempt_id"].to_pylist()


def test_a_stream_goes_on_behind_a_batch(retried):
    cursor = list(rows_of(dataset.read(retried.path)))[-1]["cursor"]
    retried.merge(2, 0, 2)
    retried.seal_rows([row(91), row(92)])
    assert attempts(dataset.stream(retried.path, after=cursor, patience_s=0.0)) == ["t91-1", "t92-1"]


def test_a_stream_that_is_given_up_goes_on_behind_its_cursor(retried):
    everything = read_attempts(retried.store)["attempt_id"].to_pylist()
    seen, cursor = [], None
    for found in rows_of(dataset.stream(retried.path, patience_s=0.0)):
        seen, cursor = [*seen, found["attempt_id"]], found["cursor"]
        if len(seen) == 7:
            break
    rest = attempts(dataset.stream(retried.path, after=cursor, patience_s=0.0))
    assert seen + rest == everything


def test_killed_readers_lose_and_repeat_nothing_while_the_ledger_grows_and_is_merged(tmp_path):
    ledger = Ledger(tmp_path, planned=40)
    lock = ledger.lock()
    lock.acquire({})
    ledger.epoch = lock.epoch
    ledger.seal(5)
    ledger.seal(3)
    seen = []
    for found in rows_of(dataset.stream(ledger.path, columns=["attempt_id", "reward"], patience_s=None)):
        assert set(found) == {"attempt_id", "reward", "cursor"}
        seen.append(found["attempt_id"])
        if len(seen) == 6:  # in the middle of a segment
            kill_reader("ReadStream")
            ledger.merge(lock.epoch, 0, 2)
            ledger.sweep_up()
            ledger.seal(4)
        elif len(seen) == 12:  # with nothing left to read
            kill_reader("ReadStream")
            ledger.seal(20)
        elif len(seen) == 32:
            ledger.merge(lock.epoch, 0, 3)
            ledger.seal(8)
            lock.release()
    assert seen == [f"t{n}-1" for n in range(40)]


def test_a_block_of_a_stream_is_a_sealed_segment_whatever_was_merged(retried):
    def blocks():
        made = dataset.stream(retried.path, columns=["attempt_id", "reward"], patience_s=0.0)
        return [batch.to_pydict() for batch in made.iter_batches(batch_size=None, batch_format="pyarrow")]

    before = [block for block in blocks() if block["attempt_id"]]
    assert [len(block["attempt_id"]) for block in before] == [1, 4, 4, 4, 1, 7]
    retried.merge(1, 0, 3)
    retried.merge(1, 0, 2)
    retried.merge(2, 0, 2)
    retried.sweep_up()
    assert [block for block in blocks() if block["attempt_id"]] == before, "cursors too"


def test_the_settings_of_a_stream_are_its_own(retried, embedded_ray):
    import ray.data

    before = ray.data.DataContext.get_current().copy()
    made = dataset.stream(retried.path)
    assert (made.context.target_max_block_size, made.context.execution_no_progress_timeout_s) == (1, -1)
    dataset.read(retried.path)
    now = ray.data.DataContext.get_current()
    for name in ("target_max_block_size", "execution_no_progress_timeout_s", "execution_options", "max_errored_blocks"):
        assert getattr(now, name) == getattr(before, name)


@pytest.mark.parametrize("make", [dataset.read, lambda run: dataset.stream(run, patience_s=0.0)])
def test_a_run_without_an_attempt_is_a_dataset_without_a_row(tmp_path, make):
    made = make(Ledger(tmp_path, planned=2).path)
    assert made.schema().names[: len(NAMES)] == NAMES
    assert made.count() == 0


def test_damage_reaches_whoever_reads(retried):
    file = retried.path / "ledger" / "segment-0002-000001.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(Exception, match="segment-0002-000001"):
        attempts(dataset.stream(retried.path, patience_s=0.0))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"after": "nonsense"}, "not a cursor"), ({"columns": ["attempt_id", "colour"]}, "not columns.*colour")],
)
def test_what_cannot_be_streamed_is_refused_at_once(retried, options, says):
    with pytest.raises(InputError, match=says):
        dataset.stream(retried.path, **options)
