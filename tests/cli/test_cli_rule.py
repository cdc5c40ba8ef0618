"""`run --stop-when-decided`: stops at a registered look and stays stopped, and only there; on virtual time."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cli.run import run_command
from raysweep.errors import InputError
from raysweep.record.reader import read_ledger, with_is_final
from raysweep.record.resume import unfinished
from raysweep.record.stopped import RECORD
from raysweep.stats.findings.progress import progress
from raysweep.study.rule import Dates

SWEEP = """\
name: decided
seed: 5
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 4
buckets: {{period: 2h, windows: {{early: 0s-50m, late: 60m-110m}}, dates: 4}}
sandbox: {{kind: simulated, truth: {{success: {{1x: 0.3, uncapped: {other}}}, task_sd: 0.05, duration: ["1s", "9s"]}}}}
runner: {{concurrency: 4, executor: inprocess}}
{analysis}
"""
REGISTERED = "analysis: {primary: success, looks: 4}"


def sweep(folder, *, tasks=12, other=0.9, analysis=REGISTERED):
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(tasks=tasks, other=other, analysis=analysis))
    return path, folder / "run"


def status_told(capsys):
    return json.loads(capsys.readouterr().out)


def dates_run(run):
    return Counter(read_ledger(run).table["occasion"].to_pylist())


def test_a_large_effect_stops_the_sweep_early_and_it_stays_stopped_unless_told_to_go_on(tmp_path, capsys):
    config, run = sweep(tmp_path)
    assert run_command(config, run, None, as_json=True, stop_when_decided=True) == 0
    told = status_told(capsys)
    record = json.loads((run / RECORD).read_text())
    assert 1 <= record["look"] < record["looks"] == 4
    assert "m uncapped - 1x success" in record["reason"]
    ran = dates_run(run)
    assert not told["complete"]
    assert all(ran[f"cycle {n}"] == 48 for n in range(1, record["dates"] + 1))
    assert sum(ran.values()) < 48 * record["dates"] + 24, "no more than blocks that were begun"

    for options in ({}, {"stop_when_decided": True}):
        assert run_command(config, run, None, as_json=True, **options) == 0
        said = capsys.readouterr()
        assert json.loads(said.out) == told, "nothing is begun"
        assert record["reason"] in said.err
        assert "--go-on" in said.err
    from raysweep.stats.stop import peek_label
    from raysweep.study.sources import design_of

    view = read_ledger(run)
    assert peek_label(view.table, view.planned, design_of(view)).code == "stopped"
    assert run_command(config, run, None, as_json=True, go_on=True) == 0
    assert status_told(capsys)["complete"]
    assert json.loads((run / RECORD).read_text()) == record


def test_without_an_effect_it_goes_to_its_end(tmp_path, capsys):
    config, run = sweep(tmp_path, other=0.3)
    assert run_command(config, run, None, as_json=True, stop_when_decided=True) == 0
    assert status_told(capsys)["complete"]
    assert not (run / RECORD).exists()


def test_without_the_option_nothing_stops_it_and_a_later_call_with_it_decides_on_what_is_there(tmp_path, capsys):
    config, run = sweep(tmp_path)
    assert run_command(config, run, 60, as_json=True) == 0, "a pilot of two and a half dates"
    before = status_told(capsys)["done"]
    assert before == 120
    assert run_command(config, run, None, as_json=True, stop_when_decided=True) == 0
    assert status_told(capsys)["done"] == before
    assert (run / RECORD).exists()


@pytest.mark.parametrize("analysis", ["", "analysis: {primary: success}"])
def test_without_registered_looks_it_is_refused_before_anything_is_written(tmp_path, analysis):
    config, run = sweep(tmp_path, analysis=analysis)
    with pytest.raises(InputError, match=r"analysis\.looks: .*needs registered looks") as refused:
        run_command(config, run, None, as_json=True, stop_when_decided=True)
    assert refused.value.exit_code == 2
    assert not run.exists()


SCHEMA = pa.schema([
    *((c, pa.string()) for c in ("trial_id", "block_id", "outcome", "cause_class")),
    ("block_run", pa.int64()), ("attempt", pa.int64()),
])  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), min_size=1, max_size=4),
    steps=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.booleans(), st.booleans()), max_size=40),
)
def test_the_count_of_complete_dates_is_that_of_the_statistics(sizes, steps):
    trials = [
        {"block_id": f"d{d}b{b}", "trial_id": f"d{d}b{b}t{t}", "date": d + 1}
        for d, (blocks, arms) in enumerate(sizes)
        for b in range(blocks)
        for t in range(arms)
    ]
    planned, rows, run_of = pa.Table.from_pylist(trials), [], {}
    dates = Dates(planned)
    for which, trial, again, well in steps:
        block = sorted({t["block_id"] for t in trials})[which % len({t["block_id"] for t in trials})]
        mine = [t["trial_id"] for t in trials if t["block_id"] == block]
        run = run_of.setdefault(block, 1)
        done = {r["trial_id"] for r in rows if r["block_id"] == block and r["block_run"] == run and not unfinished(r)}
        if len(done) == len(mine):
            continue  # complete: it is never run again
        run = run_of[block] = run + again
        left = [t for t in mine if again or t not in done]
        name = left[trial % len(left)]
        row = {
            "trial_id": name, "block_id": block, "block_run": run,
            "attempt": 1 + sum(r["trial_id"] == name for r in rows),
            "outcome": "scored" if well else "infra", "cause_class": None if well else "platform",
        }  # fmt: skip
        rows.append(row)
        dates.add(row, ended=not unfinished(row))
        table = with_is_final(pa.Table.from_pylist(rows, schema=SCHEMA), planned)
        assert dates.closed == progress(table, planned).closed
