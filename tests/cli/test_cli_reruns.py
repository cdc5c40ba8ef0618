"""Platform errors of a whole run: the breaker's pause, blocks that run again, and what is said of them."""

from __future__ import annotations

import json

from raysweep.cli.run import run_command
from raysweep.cli.status import status_command
from raysweep.record.reader import read_ledger
from raysweep.record.resume import unfinished
from support.cli_runs import simulated

BUCKETS = "buckets: {period: 30m, windows: {all: 0s-25m}, dates: 1, makeup_dates: 6}\n"


def test_the_breaker_pauses_with_3_says_why_and_the_same_command_goes_on(tmp_path, capsys):
    extra = "breaker: {rate: 0.5, window: 12}\n"
    config, run = simulated(tmp_path, tasks=20, platform="{node_lost: 0.7}", extra=extra), tmp_path / "run"
    assert run_command(config, run, None, as_json=True) == 3
    said = capsys.readouterr()
    assert not json.loads(said.out)["complete"]
    assert "of the last 12 attempts ended in a platform cause, more than 50 %" in said.err
    assert "node_lost" in said.err
    assert f"raysweep run {config} --run-dir {run}" in said.err
    before = read_ledger(run).table.to_pylist()
    assert len(before) < 80
    assert {r["outcome"] for r in before} <= {"scored", "infra"}, "what ran was not cancelled"
    assert run_command(config, run, None, as_json=True) == 3, "it is no better, but it begins clean"
    after = read_ledger(run).table.to_pylist()
    assert len(after) >= len(before) + 12
    done = {(r["trial_id"], r["attempt"]) for r in before if not unfinished(r)}
    assert done <= {(r["trial_id"], r["attempt"]) for r in after}


def test_blocks_run_again_in_later_windows_and_status_says_what_is_superseded(tmp_path, capsys):
    extra = f"{BUCKETS}platform_retries: {{node_lost: 0}}\nblock_reruns: 5\nbreaker: null\n"
    config, run = simulated(tmp_path, tasks=6, platform="{node_lost: 0.25}", extra=extra), tmp_path / "run"
    assert run_command(config, run, None, as_json=False) == 0
    capsys.readouterr()
    view = read_ledger(run)
    rows = view.table.to_pylist()
    assert max(r["block_run"] for r in rows) > 1, "the faults must be at work"
    final = [r for r in rows if r["is_final"]]
    assert len(final) == len({r["trial_id"] for r in final}) == 24
    assert {len({r["block_run"] for r in final if r["block_id"] == b}) for b in {r["block_id"] for r in final}} == {1}
    where = {(r["block_id"], r["block_run"]): set() for r in rows}
    for r in rows:
        where[r["block_id"], r["block_run"]].add(r["actual_occasion"])
    assert all(len(found) == 1 for found in where.values()), "a run is of one window"
    for (block, number), found in where.items():
        assert number == 1 or where[block, number - 1] != found, "and the next run of a later one"
    status_command(run, as_json=False)
    assert f"{len(rows) - 24} attempts are superseded" in capsys.readouterr().out


def test_blocks_whose_runs_are_used_up_are_named_and_the_end_is_3(tmp_path, capsys):
    extra = f"{BUCKETS}platform_retries: {{node_lost: 0}}\nblock_reruns: 1\nbreaker: null\n"
    config, run = simulated(tmp_path, tasks=4, platform="{node_lost: 0.6}", extra=extra), tmp_path / "run"
    assert run_command(config, run, None, as_json=False) == 3
    said = capsys.readouterr()
    assert "blocks have no complete run" in said.err
    assert "lack trials that the platform took" in said.out
    assert "(run 2: " in said.out
    rows = read_ledger(run).table.to_pylist()
    assert max(r["block_run"] for r in rows) == 2
    assert run_command(config, run, None, as_json=False) == 3
    assert "have used all their `block_reruns`" in capsys.readouterr().err
    assert len(read_ledger(run).table) == len(rows), "another driver does not try for ever"
