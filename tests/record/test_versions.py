"""Run directories in which other versions of raysweep wrote: with more columns, with fewer, and mixed."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysweep.clock import SystemClock
from raysweep.dataset.follow import Follower
from raysweep.errors import InputError
from raysweep.record.compact import Sized, merge
from raysweep.record.evidence import PhaseCounters
from raysweep.record.objectstore import ObjectStore
from raysweep.record.reader import read_attempts, read_ledger, read_run
from raysweep.record.rundir import create_or_resume
from raysweep.record.schema import COUNTERS, arrow_schema, to_table
from raysweep.record.segments import counting, listed, segment_bytes, segment_name
from raysweep.record.store import LocalStore
from raysweep.record.versions import READER_VERSION
from raysweep.stats import analyse
from raysweep.study.sources import design_of
from support.ledgers import Ledger, attempts, row
from support.run_facts import RUN_FACTS, SWEEP_FACTS

LACKED, ADDED = "throttled_us", "colour"


def with_unknown(table, name=ADDED, value="blue"):
    values = pa.array([value] * len(table))
    return table.append_column(name, values)


def older(table):
    return table.drop_columns([LACKED])


def rewritten(folder, change):
    """Every file of a run's ledger as another version would have written it."""
    for number, file in enumerate(sorted((folder / "ledger").glob("*.parquet"))):
        file.write_bytes(segment_bytes(change(pq.read_table(file), number)))


@pytest.fixture
def run(tmp_path):
    with tarfile.open(Path(__file__).parent / "ledgers" / "simulated.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def findings(view):
    analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    return [repr(finding) for finding in (*analysis.findings, *analysis.details)]


@pytest.mark.parametrize(
    "change",
    [
        lambda table, _: with_unknown(table),
        lambda table, _: older(table),
        lambda table, number: with_unknown(table) if number % 2 else older(table),
        lambda table, number: with_unknown(table, value=number if number % 2 else "text"),
        lambda table, _: table.set_column(0, "run_id", table["run_id"].cast(pa.large_string())),
    ],
    ids=["unknown", "missing", "mixed", "unknown-of-two-types", "other-text-type"],
)
def test_other_columns_change_no_finding(run, change):
    before = findings(read_ledger(run))
    rewritten(run, change)
    assert findings(read_ledger(run)) == before


def test_unknown_columns_are_kept_and_named_and_missing_ones_are_null(run):
    rewritten(run, lambda table, number: with_unknown(table) if number % 2 else older(table))
    view = read_ledger(run)
    assert view.unknown == (ADDED,)
    assert view.table.column_names == [*arrow_schema().names, ADDED, "is_final"]
    assert {"blue", None} == set(view.table[ADDED].to_pylist())
    assert 0 < view.table[ADDED].null_count < len(view.table)


def mixed_ledger(store):
    """Segments of an older version, of this one and of a newer one; their rows."""
    store.put_new("ledger/epoch-0001.json", b'{"epoch": 1, "sealed": {}}')
    tables = [to_table([row(n, throttled_us=n)]) for n in range(3)]
    tables = [older(tables[0]), tables[1], with_unknown(tables[2])]
    for number, table in enumerate(tables, 1):
        store.put_new(segment_name(1, number), segment_bytes(table))


def seen(store):
    table = read_attempts(store)
    return table.select(["attempt_id", LACKED, ADDED]).to_pylist()


EXPECTED = [
    {"attempt_id": "t0-1", LACKED: None, ADDED: None},
    {"attempt_id": "t1-1", LACKED: 1, ADDED: None},
    {"attempt_id": "t2-1", LACKED: 2, ADDED: "blue"},
]


def check_mixed(store):
    mixed_ledger(store)
    assert seen(store) == EXPECTED
    merge(store, [Sized(part, 1, 0) for part in listed(store)[1]])
    assert [part.rows for part in counting(store)] == [3]
    assert seen(store) == EXPECTED
    assert attempts(Follower(store).take()) == [r["attempt_id"] for r in EXPECTED]
    assert read_attempts(store, ["attempt_id", LACKED]).column_names == ["attempt_id", LACKED]


def test_a_merge_of_mixed_segments_loses_no_column(tmp_path):
    check_mixed(LocalStore(tmp_path))


def test_a_merge_of_mixed_segments_in_a_bucket_loses_no_column(bucket):
    check_mixed(ObjectStore(bucket))


def test_a_file_that_states_a_newer_reader_is_refused_by_name(tmp_path):
    ledger = Ledger(tmp_path, planned=2)
    ledger.seal(1)
    ledger.store.put_new(segment_name(1, 2), segment_bytes(to_table([row(7)]), READER_VERSION + 1))
    with pytest.raises(InputError, match=r"segment-0001-000002.*newer raysweep") as refused:
        read_run(ledger.store, "x")
    problem = refused.value.problems[0]
    assert (problem.key, problem.value) == ("raysweep:min_reader", str(READER_VERSION + 1))
    assert problem.remedy.startswith("update raysweep")


@pytest.mark.parametrize("stated", [READER_VERSION + 1, "soon", -1])
def test_a_run_that_states_a_newer_reader_is_refused(tmp_path, stated):
    ledger = Ledger(tmp_path, planned=1)
    ledger.store.replace("run.json", json.dumps({"min_reader": stated}).encode())
    with pytest.raises(InputError, match=r"run\.json.*min_reader"):
        read_run(ledger.store, str(tmp_path))


@pytest.mark.parametrize("stated", [None, 0, READER_VERSION])
def test_a_higher_schema_version_alone_refuses_nothing(tmp_path, stated):
    ledger = Ledger(tmp_path, planned=1)
    facts = RUN_FACTS.as_json() | {"schema_version": 99} | ({} if stated is None else {"min_reader": stated})
    ledger.store.replace("run.json", json.dumps(facts).encode())
    ledger.store.put_new("registration.json", b"{}")
    ledger.store.put_new("environment.json", b"{}")
    ledger.store.put_new("sweep.yaml", b"")
    assert read_run(ledger.store, str(tmp_path)).facts.as_json() == facts


def test_the_merge_of_files_states_the_newest_reader_that_any_of_them_needs(tmp_path, monkeypatch):
    from raysweep.record import segments

    store = LocalStore(tmp_path)
    mixed_ledger(store)
    monkeypatch.setattr("raysweep.record.versions.READER_VERSION", READER_VERSION + 1)
    store.put_new(segment_name(1, 4), segment_bytes(to_table([row(3)]), READER_VERSION + 1))
    part = merge(store, [Sized(part, 1, 0) for part in listed(store)[1]])
    monkeypatch.setattr("raysweep.record.versions.READER_VERSION", READER_VERSION)
    with pytest.raises(InputError, match="newer raysweep"):
        segments.read_segment(store, part.name)


def resume(path):
    given = {
        "sweep_text": "",
        "plan_id": "p",
        "plan_parquet": b"",
        "analysis": {},
        "environment": {},
        "facts": SWEEP_FACTS,
    }
    return create_or_resume(path, **given, clock=SystemClock())


def probe_file(name, **columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata({b"raysweep:min_reader": name}), sink)
    return sink.getvalue()


def test_a_run_is_not_resumed_where_it_could_not_be_reported(tmp_path):
    """Neither where the ledger nor where the probes need a newer reader; nothing is written."""
    store, _ = resume(tmp_path)
    newer = str(READER_VERSION + 1)
    files = {
        segment_name(1, 1): segment_bytes(to_table([row(1)]), READER_VERSION + 1),
        "probes/w-1.parquet": probe_file(newer, probe_id=["p"], bucket=["b"], occasion=["1"], moment=["before"]),
    }
    for name, data in files.items():
        store.put_new(name, data)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError, match="newer raysweep"):
            resume(tmp_path)
        assert sorted(tmp_path.rglob("*")) == before
        store.remove(name)
    resume(tmp_path)


def test_a_value_that_is_no_value_of_its_column_is_named(tmp_path):
    store = LocalStore(tmp_path)
    table = to_table([row(1)])
    at = table.column_names.index("attempt")
    store.put_new(segment_name(1, 1), segment_bytes(table.set_column(at, "attempt", pa.array(["first"]))))
    with pytest.raises(InputError, match="other columns") as refused:
        read_attempts(store)
    assert (refused.value.problems[0].key, refused.value.problems[0].value) == ("attempt", "string")


def test_counters_of_all_phases_and_time_limits_are_columns():
    """Today's names stay those of the agent phase; every counter has the name of the fact that fills it."""
    schema = arrow_schema()
    facts = {f.name for f in dataclasses.fields(PhaseCounters)}
    assert {counter.name for counter in COUNTERS} <= facts
    for counter in COUNTERS:
        types = {schema.field(f"{prefix}{counter.name}").type for prefix in ("", "verifier_", "setup_")}
        assert len(types) == 1
    assert all(f"{phase}_timeout_s" in schema.names for phase in ("setup", "agent", "verifier"))
