"""Reading from any store, in few chunks, with every break named; is_final against a slow and plain definition."""

from __future__ import annotations

import io
import json
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.errors import InputError
from raysweep.record import reader
from raysweep.record.schema import arrow_schema, to_table
from support.run_facts import RUN_FACTS


class Bucket:
    """A Store without a file system, as an object store is one."""

    where = "bucket"

    def __init__(self, blobs):
        self.blobs = dict(blobs)

    def put_new(self, name, data):
        if name in self.blobs:
            raise FileExistsError(name)
        self.blobs[name] = data

    def replace(self, name, data):
        self.blobs[name] = data

    def remove(self, name):
        self.blobs.pop(name, None)

    def get(self, name):
        if name not in self.blobs:
            raise FileNotFoundError(name)
        return self.blobs[name]

    def names(self, folder):
        return sorted(n.removeprefix(f"{folder}/") for n in self.blobs if n.startswith(f"{folder}/"))

    def exists(self, name):
        return name in self.blobs


def row(trial, attempt=1, block="b1", run=1, ended=True, outcome="scored"):
    lost = {"outcome": "infra", "cause": "node_lost", "cause_class": "platform"}
    return {
        "block_id": block, "trial_id": trial, "attempt_id": f"{trial}-{attempt}", "attempt": attempt,
        "block_run": run, **({"outcome": outcome} if ended else lost),
    }  # fmt: skip


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def segment(number):
    return f"ledger/segment-0001-{number:06d}.parquet"


def run_of(segments, planned):
    blobs = {segment(n + 1): parquet(to_table(rows)) for n, rows in enumerate(segments)}
    blobs["ledger/epoch-0001.json"] = b'{"epoch": 1, "sealed": {}}'
    facts = {"run.json": RUN_FACTS.as_json(), "registration.json": {}, "environment.json": {"a": 1}}
    blobs |= {name: json.dumps(told).encode() for name, told in facts.items()}
    blobs |= {"sweep.yaml": b"name: a\n", "plan.parquet": parquet(pa.Table.from_pylist(planned))}
    return Bucket(blobs)


PLANNED = [{"block_id": f"b{n}", "trial_id": f"t{n}"} for n in range(300)]
ROWS = [row(f"t{n}", block=f"b{n}") for n in range(300)]


def test_a_run_is_read_from_a_store_that_is_no_directory():
    view = reader.read_run(run_of([ROWS[:100], ROWS[100:]], PLANNED), "s3://bucket/run")
    assert view.table["trial_id"].to_pylist() == [r["trial_id"] for r in ROWS]
    assert view.table["is_final"].to_pylist() == [True] * 300
    assert view.planned.num_rows == 300
    assert (view.facts.run_id, view.environment, view.sweep_text) == ("r", {"a": 1}, "name: a\n")


def test_many_segments_become_few_chunks_in_their_order(monkeypatch):
    monkeypatch.setattr(reader, "CHUNK_ROWS", 50)
    table = reader.read_attempts(run_of([ROWS[i : i + 7] for i in range(0, 300, 7)], PLANNED))
    assert table.schema == arrow_schema()
    assert table["trial_id"].to_pylist() == [r["trial_id"] for r in ROWS]
    assert table["trial_id"].num_chunks <= 1 + 300 // 50 + 1


def test_no_segment_is_an_empty_table_of_the_schema():
    view = reader.read_run(run_of([], PLANNED), "x")
    assert view.table.drop_columns(["is_final"]).schema == arrow_schema()
    assert len(view.table) == 0


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("sweep.yaml", None, r"sweep\.yaml: .*missing"),
        ("plan.parquet", None, r"plan\.parquet: .*missing"),
        ("plan.parquet", b"PAR1 no parquet", r"plan\.parquet: .*cannot be read"),
        ("run.json", b'{"min_reader": 9}', "newer raysweep"),
        ("registration.json", b"{", r"registration\.json: .*cannot be read"),
        ("environment.json", b"[]", r"environment\.json: .*not an object"),
        (segment(2), b"torn", r"segment-0001-000002\.parquet: .*cannot be read"),
        (segment(2), parquet(pa.table({"trial_id": ["t1"]})), r"segment-0001-000002\.parquet: .*other columns"),
        (segment(2), parquet(to_table(ROWS[:1])), "stands twice"),
    ],
)
def test_what_is_missing_or_broken_is_named(name, data, says):
    store = run_of([ROWS[:10], ROWS[10:20], ROWS[20:30]], PLANNED)
    if data is None:
        del store.blobs[name]
    else:
        store.blobs[name] = data
    with pytest.raises(InputError, match=says):
        reader.read_run(store, "somewhere")


def slow_finals(rows, planned):
    """The definition, trial by trial."""
    sizes = defaultdict(set)
    for p in planned:
        sizes[p["block_id"]].add(p["trial_id"])
    last = {}
    for r in rows:
        key = (r["block_id"], r["block_run"], r["trial_id"])
        if key not in last or r["attempt"] > last[key]["attempt"]:
            last[key] = r
    finals = set()
    for trial in {r["trial_id"] for r in rows}:
        block = next(r["block_id"] for r in rows if r["trial_id"] == trial)
        runs = sorted({run for b, run, _ in last if b == block})
        done = [
            run for run in runs
            if all((found := last.get((block, run, t))) and found["outcome"] == "scored" for t in sizes[block])
            and sizes[block]
        ]  # fmt: skip
        chosen = done[-1] if done else runs[-1]
        if (block, chosen, trial) in last:
            finals.add(last[block, chosen, trial]["attempt_id"])
    return finals


@st.composite
def ledgers(draw):
    planned, rows = [], []
    for b in range(draw(st.integers(1, 3))):
        trials = [f"b{b}t{t}" for t in range(draw(st.integers(1, 3)))]
        planned += [{"block_id": f"b{b}", "trial_id": t} for t in trials]
        counts = dict.fromkeys(trials, 0)
        for run in range(1, draw(st.integers(1, 3)) + 1):
            for trial in trials:
                for _ in range(draw(st.integers(0 if run > 1 else 1, 2))):
                    counts[trial] += 1
                    rows.append(row(trial, counts[trial], f"b{b}", run, draw(st.booleans())))
    return draw(st.permutations(rows)), planned


@settings(max_examples=150, deadline=None)
@given(ledgers())
def test_is_final_is_what_its_definition_says(ledger):
    rows, planned = ledger
    table = reader.with_is_final(to_table(rows), pa.Table.from_pylist(planned))
    found = {i for i, f in zip(table["attempt_id"].to_pylist(), table["is_final"].to_pylist(), strict=True) if f}
    assert found == slow_finals(rows, planned)


def test_is_final_of_many_rows_agrees_with_that_of_each_block_alone():
    rng = np.random.default_rng(5)
    rows, planned = [], []
    for b in range(400):
        trials = [f"b{b:03d}t{t}" for t in range(3)]
        planned += [{"block_id": f"b{b:03d}", "trial_id": t} for t in trials]
        runs = 1 + int(rng.random() < 0.2)
        rows += [row(t, k, f"b{b:03d}", k, bool(rng.random() < 0.8)) for k in range(1, runs + 1) for t in trials]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    table = reader.with_is_final(to_table(rows), pa.Table.from_pylist(planned))
    found = {i for i, f in zip(table["attempt_id"].to_pylist(), table["is_final"].to_pylist(), strict=True) if f}
    assert found == slow_finals(rows, planned)
    assert len(found) == 1200


def test_unknown_attempt_numbers_count_as_the_first():
    rows = [row("t1") | {"attempt": None, "block_run": None}, row("t2", 2), row("t2", 1)]
    table = reader.with_is_final(to_table(rows), pa.Table.from_pylist(PLANNED[:2]))
    assert table["is_final"].to_pylist() == [True, True, False]
