from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from raysweep.clock import SystemClock
from raysweep.errors import InputError, LockHeldError, LockLostError
from raysweep.record.lock import LocalLock
from raysweep.record.reader import read_attempts, with_is_final
from raysweep.record.resume import status, sweep_state
from raysweep.record.rundir import create_or_resume
from raysweep.record.schema import COLUMNS, arrow_schema, to_table
from raysweep.record.segments import segments
from raysweep.record.store import LocalStore
from support.local_ledger import open_ledger, row
from support.run_facts import SWEEP_FACTS


def platform(trial, attempt, **more):
    return row(trial, attempt, **{"outcome": "infra", "cause": "node_lost", "cause_class": "platform", **more})


def test_rows_are_in_the_ledger_once_sealed_with_every_type_kept(tmp_path):
    store, lock, ledger = open_ledger(tmp_path)
    ledger.append(row(node={"cpus": 2}, reward=0.5, timed_out=False, t_queued=1000.25))
    assert segments(store) == []
    ledger.seal()
    table = read_attempts(store)
    lock.release()
    assert table.schema == arrow_schema()
    read = table.to_pylist()[0]
    assert read["t_queued"].timestamp() == 1000.25
    assert (read["reward"], read["node"], read["cause"]) == (0.5, [("cpus", "2")], None)


def test_a_hundred_rows_seal_themselves(tmp_path):
    store, lock, ledger = open_ledger(tmp_path)
    for n in range(250):
        ledger.append(row(f"t{n}"))
    assert len(read_attempts(store)) == 200
    lock.release()


def test_a_column_that_the_schema_does_not_have_is_refused():
    with pytest.raises(KeyError, match="surprise"):
        to_table([{"surprise": 1}])


def test_column_names_are_unique_and_documented():
    assert len({c.name for c in COLUMNS}) == len(COLUMNS)
    assert all(c.doc for c in COLUMNS)


def test_a_second_writer_is_refused_by_name(tmp_path):
    _, lock, _ = open_ledger(tmp_path)
    with pytest.raises(LockHeldError, match=f"process {os.getpid()}"):
        open_ledger(tmp_path)
    assert LocalLock.running(tmp_path) == 0
    lock.beat(running=3, force=True)
    assert LocalLock.running(tmp_path) == 3
    lock.release()
    _, lock, _ = open_ledger(tmp_path)
    assert lock.epoch == 2
    lock.release()


def test_a_holder_on_another_host_counts_as_living_until_its_heartbeat_is_stale(tmp_path):
    store = LocalStore(tmp_path)
    (tmp_path / "lock").write_text(f'{{"pid": 1, "host": "elsewhere", "heartbeat": {time.time()}}}')
    with pytest.raises(LockHeldError, match="elsewhere"):
        LocalLock(tmp_path, store, SystemClock()).acquire({})
    (tmp_path / "lock").write_text(f'{{"pid": 1, "host": "elsewhere", "heartbeat": {time.time() - 100}}}')
    lock = LocalLock(tmp_path, store, SystemClock())
    lock.acquire({})
    lock.release()


def test_a_writer_that_lost_its_lock_seals_nothing_more(tmp_path):
    store, lock, ledger = open_ledger(tmp_path)
    ledger.append(row("t1"))
    ledger.seal()
    store.put_new("ledger/epoch-0002.json", b'{"epoch": 2, "sealed": {"1": 1}}')
    ledger.append(row("t2"))
    with pytest.raises(LockLostError):
        ledger.seal()
    # and what it might have sealed between the look and the write does not count
    store.put_new("ledger/segment-0001-000002.parquet", store.get("ledger/segment-0001-000001.parquet"))
    assert segments(store) == ["ledger/segment-0001-000001.parquet"]
    lock.release()


def test_a_damaged_segment_is_named(tmp_path):
    store, lock, ledger = open_ledger(tmp_path)
    ledger.append(row("t1", detail="x" * 500))
    ledger.seal()
    lock.release()
    path = tmp_path / "ledger" / "segment-0001-000001.parquet"
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"segment-0001-000001\.parquet"):
        read_attempts(store)


def test_names_are_taken_once(tmp_path):
    store = LocalStore(tmp_path)
    store.put_new("a/b", b"1")
    with pytest.raises(FileExistsError):
        store.put_new("a/b", b"2")
    assert store.get("a/b") == b"1"
    assert store.names("a") == ["b"]


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from support.local_ledger import open_ledger, row
store, lock, ledger = open_ledger(Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    ledger.append(row(f"t{{n}}"))
    n += 1
    if n % 10 == 0:
        ledger.seal()
        print(n, flush=True)
"""


def test_sigkill_at_any_moment_loses_nothing_sealed_and_leaves_no_torn_segment(tmp_path):
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER.format(here=str(Path(__file__).parents[1]))))
    run = tmp_path / "run"
    run.mkdir()
    told = 0
    for round_ in range(3):
        start = round_ * 1_000_000
        child = subprocess.Popen([sys.executable, str(script), str(run), str(start)], stdout=subprocess.PIPE, text=True)
        lines = [child.stdout.readline() for _ in range(3 + round_ * 2)]
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        told += (int(rest[-1]) if rest else int(lines[-1])) - start
        assert len(read_attempts(LocalStore(run))) >= told
        told = len(read_attempts(LocalStore(run)))


def planned(blocks):
    pairs = [(b, t) for b, trials in blocks.items() for t in trials]
    return pa.table({"block_id": [b for b, _ in pairs], "trial_id": [t for _, t in pairs]})


def finals(rows, blocks):
    table = with_is_final(to_table(rows), planned(blocks))
    return {r["attempt_id"] for r in table.to_pylist() if r["is_final"]}


TWO = {"b1": ["t1", "t2"]}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("t1"), row("t2")], {"t1-1", "t2-1"}),
        ([platform("t1", 1), row("t1", 2), row("t2")], {"t1-2", "t2-1"}),
        ([row("t1"), platform("t2", 1)], {"t1-1", "t2-1"}),
        # the second run is complete: all arms from it, whatever the first said
        ([row("t1"), platform("t2", 1), row("t1", 2, run=2), row("t2", 2, run=2)], {"t1-2", "t2-2"}),
        # the second run is not complete: the first stands
        ([row("t1"), row("t2"), row("t1", 2, run=2), platform("t2", 2, run=2)], {"t1-1", "t2-1"}),
        ([row("t1", outcome="cancelled"), row("t1", 2), row("t2")], {"t1-2", "t2-1"}),
        # no complete run: the block's last one, and no arm from another
        ([platform("t1", 1), row("t2"), row("t2", 2, run=2)], {"t2-2"}),
        ([row("t1"), platform("t2", 1), platform("t1", 2, run=2), row("t2", 2, run=2)], {"t1-2", "t2-2"}),
        ([row("t1")], {"t1-1"}),
        ([], set()),
    ],
)
def test_is_final(rows, expected):
    assert finals(rows, TWO) == expected


def test_status_counts_final_attempts_that_are_outcomes():
    rows = [platform("t1", 1), row("t1", 2), row("t2", outcome="infra", cause="oom_limit", cause_class="resource")]
    told = status(with_is_final(to_table(rows), planned(TWO)), planned=3, running=1)
    assert told == {
        "planned": 3,
        "done": 2,
        "running": 1,
        "by_outcome": {"infra/oom_limit": 1, "scored": 1},
        "complete": False,
    }


def test_state_for_resume():
    rows = [row("t1"), platform("t2", 1), row("t3", block="b2", outcome="cancelled"), row("t1", 2, run=2)]
    state = sweep_state(to_table(rows), 2)
    assert state.blocks["b1"].run == 2
    assert state.blocks["b1"].ended == {"t1"}
    assert state.blocks["b2"].ended == frozenset()
    assert state.blocks["b1"].lost == {}, "what was lost in an earlier run is no loss of this one"
    assert state.attempts == {"t1": 2, "t2": 1, "t3": 1}
    assert state.last == 1003.0


def test_state_for_resume_counts_what_the_platform_took_in_the_last_run():
    rows = [platform("t2", 1), platform("t2", 2), row("t1"), platform("t2", 3, cause="image")]
    found = sweep_state(to_table(rows), 2).blocks["b1"]
    assert found.lost == {("t2", "node_lost"): 2, ("t2", "image"): 1}
    assert found.ended == {"t1"}


def test_state_for_resume_keeps_of_complete_blocks_nothing_but_their_ids():
    at_once = [row("t1"), row("t2")]
    by_retry = [row("t3", block="b2"), platform("t4", 1, block="b2"), row("t4", 2, block="b2")]
    lost, again = [row("t5", block="b3"), platform("t6", 1, block="b3")], [(t, 2, 2) for t in ("t5", "t6")]
    by_run = [*lost, *(row(t, n, block="b3", run=run) for t, n, run in again)]
    left = [row("t7", block="b4"), platform("t8", 1, block="b4"), platform("t8", 2, block="b4")]
    state = sweep_state(to_table([*by_retry, *left, *at_once, *by_run]), 2)
    assert state.complete == {"b1", "b2", "b3"}
    assert set(state.blocks) == {"b4"}
    assert state.attempts == {"t7": 1, "t8": 2}
    assert state.done == 7


def test_state_for_resume_of_a_block_whose_last_run_is_not_complete():
    first = [row("t1"), platform("t2", 1)]
    state = sweep_state(to_table([*first, row("t2", 2, run=2), platform("t1", 2, run=2)]), 2)
    assert not state.complete
    assert state.blocks["b1"].run == 2
    assert state.blocks["b1"].ended == {"t2"}
    assert state.done == 1


def directory(path, text="name: a\n", plan="p1"):
    return create_or_resume(
        path,
        sweep_text=text,
        plan_id=plan,
        plan_parquet=b"x",
        analysis={"primary": "success"},
        environment={},
        facts=SWEEP_FACTS,
        clock=SystemClock(),
    )


def test_the_same_sweep_finds_its_directory_again(tmp_path):
    _, first = directory(tmp_path / "r")
    _, again = directory(tmp_path / "r")
    assert first == again


def test_a_changed_sweep_is_refused_with_the_difference(tmp_path):
    directory(tmp_path / "r")
    with pytest.raises(InputError) as error:
        directory(tmp_path / "r", "name: b\n")
    assert "-name: a" in str(error.value)
    assert "+name: b" in str(error.value)
    with pytest.raises(InputError, match="p2"):
        directory(tmp_path / "r", plan="p2")


def test_what_was_interrupted_before_it_was_a_run_directory_is_made_again(tmp_path):
    directory(tmp_path / "r")
    (tmp_path / "r" / "run.json").unlink()
    directory(tmp_path / "r", "name: b\n")
    assert (tmp_path / "r" / "sweep.yaml").read_text() == "name: b\n"


def test_a_directory_with_other_files_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match=r"precious\.txt"):
        directory(tmp_path)
