"""Files of probes: one per round, whole or absent, read back as they were written."""

from __future__ import annotations

import pytest

from raysweep.errors import InputError
from raysweep.record.probes import COLUMNS, Round, count_rounds, read_probes, rounds_done, write_round
from raysweep.record.schema import schema_of
from raysweep.record.store import LocalStore

BEFORE, AFTER = Round("night", "2026-02-05", "before"), Round("night", "2026-02-05", "after")


def row(done=BEFORE, band="1x", t=1000.0, **more):
    return {
        "run_id": "r", "probe_id": f"probe-{band}", "bucket": done.bucket, "occasion": done.occasion,
        "moment": done.moment, "band": band, "t_queued": t, "t_stopped": t + 4.0, **more,
    }  # fmt: skip


def test_without_probes_there_is_an_empty_table(tmp_path):
    table = read_probes(LocalStore(tmp_path))
    assert (len(table), table.schema) == (0, schema_of(COLUMNS))
    assert rounds_done(table) == frozenset()


def test_rounds_have_files_of_their_own_numbered_within_their_occasion(tmp_path):
    store = LocalStore(tmp_path)
    names = [
        write_round(store, BEFORE, [row(t=1000.0), row(band="3x", t=1001.0)]),
        write_round(store, AFTER, [row(AFTER, t=3000.0)]),
        write_round(store, Round("a/b", "cycle 1", "before"), [row(Round("a/b", "cycle 1", "before"), t=2000.0)]),
    ]
    assert names == [
        "probes/night-2026-02-05-1.parquet", "probes/night-2026-02-05-2.parquet", "probes/a-b-cycle-1-1.parquet",
    ]  # fmt: skip
    assert count_rounds(store) == 3
    table = read_probes(store)
    assert [t.timestamp() for t in table["t_queued"].to_pylist()] == [1000.0, 1001.0, 2000.0, 3000.0]
    assert rounds_done(table) == {BEFORE, AFTER, Round("a/b", "cycle 1", "before")}


def test_every_type_is_kept_and_unknown_stays_unknown(tmp_path):
    store = LocalStore(tmp_path)
    write_round(store, BEFORE, [row(held=True, kill_s=0.25, past_bytes=7, node={"cpus": 2})])
    read = read_probes(store).to_pylist()[0]
    assert (read["held"], read["kill_s"], read["past_bytes"], read["node"]) == (True, 0.25, 7, [("cpus", "2")])
    assert (read["killed"], read["own_limit"], read["platform"]) == (None, None, None)


def test_a_column_that_probes_do_not_have_is_refused(tmp_path):
    with pytest.raises(KeyError, match="reward"):
        write_round(LocalStore(tmp_path), BEFORE, [row(reward=1.0)])
    assert count_rounds(LocalStore(tmp_path)) == 0


def test_what_an_interrupted_write_left_is_no_file(tmp_path):
    store = LocalStore(tmp_path)
    write_round(store, BEFORE, [row()])
    (tmp_path / "probes" / ".night-2026-02-05-2.parquet.123.tmp").write_bytes(b"half")
    assert len(read_probes(store)) == 1


def test_a_broken_file_is_named(tmp_path):
    store = LocalStore(tmp_path)
    name = write_round(store, BEFORE, [row()])
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="night-2026-02-05-1"):
        read_probes(store)
