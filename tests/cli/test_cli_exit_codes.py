"""Exit codes and messages of the real command line, on sweeps that need no sandbox."""

from __future__ import annotations

import json
import re

import pytest

from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep, simulated, status_of

BAD = """\
name: bad
seed: 1
tasks: {source: "synthetic:2", defaults: {cpus: 1, memory: 2Gi}}
models: [{name: m, agent: oracle}]
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: 1x, request: 2.0, limit: 1.0}
reference: 2x
repeats: 0
repeat: 3
sandbox: {kind: simulated}
"""


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_bad_config_names_every_problem_with_file_and_line_and_ends_with_2(tmp_path, command):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    done = raysweep(command, path, *(["--run-dir", tmp_path / "run"] if command == "run" else []))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [int(n) for n in re.findall(rf"{re.escape(str(path))}:(\d+):", done.stderr)]
    assert {7, 8, 9, 10} <= set(lines), done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["run", "x.yaml", "--blocks", "0"], ["status"]])
def test_wrong_use_ends_with_2(arguments):
    done = raysweep(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_config_that_is_not_there_ends_with_2(tmp_path):
    done = raysweep("check", tmp_path / "absent.yaml")
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_to_its_end_is_0_and_standard_output_is_nothing_but_json(tmp_path):
    config, run = simulated(tmp_path), tmp_path / "run"
    done = raysweep("run", config, "--run-dir", run, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == status_of(run)
    assert (told["planned"], told["done"], told["complete"], told["running"]) == (16, 16, True, 0)
    assert sum(told["by_outcome"].values()) == 16
    assert re.search(r"\d+/16 trials", done.stderr), "progress is on standard error"
    again = raysweep("run", config, "--run-dir", run, "--json")
    assert (again.returncode, json.loads(again.stdout)) == (0, told)
    assert len(read_ledger(run).table) == 16, "a complete run is not run again"


def test_a_changed_sweep_on_an_old_directory_is_refused_with_the_difference(tmp_path):
    config, run = simulated(tmp_path), tmp_path / "run"
    assert raysweep("run", config, "--run-dir", run).returncode == 0
    config.write_text(config.read_text().replace("repeats: 2", "repeats: 4"))
    done = raysweep("run", config, "--run-dir", run)
    assert done.returncode == 2
    assert "-repeats: 2" in done.stderr
    assert "+repeats: 4" in done.stderr
    assert len(read_ledger(run).table) == 16


def test_a_directory_with_other_files_is_refused(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "thesis.tex").write_text("precious")
    done = raysweep("run", simulated(tmp_path), "--run-dir", run)
    assert done.returncode == 2
    assert "thesis.tex" in done.stderr
    assert [p.name for p in run.iterdir()] == ["thesis.tex"]


def test_a_spent_budget_ends_with_3_and_says_how_to_go_on(tmp_path):
    config = simulated(tmp_path, tasks=10, extra="budget: {agent_hours: 0.01}\n")
    run = tmp_path / "run"
    done = raysweep("run", config, "--run-dir", run, "--json")
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert not told["complete"]
    assert 0 < told["done"] < told["planned"]
    assert "agent hours" in done.stderr
    assert f"raysweep run {config} --run-dir {run}" in done.stderr
    again = raysweep("run", config, "--run-dir", run, "--json")
    assert again.returncode == 3
    assert json.loads(again.stdout) == told, "what was spent before counts: nothing more is begun"


def test_a_trial_missing_after_its_retries_ends_with_3(tmp_path):
    config = simulated(tmp_path, platform="{node_lost: 0.9}", extra="platform_retries: {node_lost: 1}\n")
    done = raysweep("run", config, "--run-dir", tmp_path / "run", "--json")
    assert done.returncode == 3
    assert not json.loads(done.stdout)["complete"]
    assert "blocks have no complete run" in done.stderr


def test_a_pilot_then_the_same_command_without_it_goes_on_and_runs_nothing_twice(tmp_path):
    config, run = simulated(tmp_path), tmp_path / "run"
    pilot = raysweep("run", config, "--run-dir", run, "--blocks", "3", "--json")
    assert pilot.returncode == 0, pilot.stderr
    assert (json.loads(pilot.stdout)["done"], json.loads(pilot.stdout)["complete"]) == (6, False)
    before = read_ledger(run).table.to_pylist()
    assert len({r["block_id"] for r in before}) == 3
    whole = raysweep("run", config, "--run-dir", run)
    assert whole.returncode == 0
    rows = read_ledger(run).table.to_pylist()
    assert {(r["trial_id"], r["attempt"]) for r in before} <= {(r["trial_id"], r["attempt"]) for r in rows}
    assert len(rows) == len({r["trial_id"] for r in rows}) == 16
    assert status_of(run)["complete"]


@pytest.mark.parametrize("command", ["status", "report", "gc"])
def test_what_is_no_run_directory_ends_with_2(tmp_path, command):
    done = raysweep(command, tmp_path)
    assert done.returncode == 2
    assert "not a run directory" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_machine_that_cannot_enforce_ends_with_4_before_anything_is_written(tmp_path, way):
    config, run = tmp_path / "local.yaml", tmp_path / "run"
    option = ", cgroup_parent: no/such/cgroup" if way == "option" else ""
    config.write_text(
        "name: local\ntasks: {source: bundled:headroom, include: [edit-settings]}\n"
        "models: [{name: m, agent: oracle}]\nbands: [{name: 1x, request: 1.0, limit: 1.0}]\n"
        f"reference: 1x\nrepeats: 1\nsandbox: {{kind: local{option}}}\n"
    )
    environment = {"RAYSWEEP_CGROUP_PARENT": "no/such/cgroup"} if way == "environment" else {}
    done = raysweep("run", config, "--run-dir", run, RAYSWEEP_SCRATCH=str(tmp_path / "scratch"), **environment)
    assert done.returncode == 4, done.stderr
    assert "no/such/cgroup" in done.stderr
    assert not run.exists()
    doctor = raysweep("doctor", "--config", config, "--json", RAYSWEEP_SCRATCH=str(tmp_path / "scratch"), **environment)
    assert doctor.returncode == 4
    assert json.loads(doctor.stdout)["ok"] is False


def test_report_and_plan_print_json_and_nothing_else(tmp_path):
    config, run = simulated(tmp_path), tmp_path / "run"
    plan = raysweep("plan", config, "--out", tmp_path / "plan.parquet", "--json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["trials"] == 16
    assert raysweep("run", config, "--run-dir", run).returncode == 0
    report = raysweep("report", run, "--json")
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout) == json.loads((run / "report" / "report.json").read_text())
    assert (run / "report" / "report.html").stat().st_size > 1000


def test_a_broken_segment_is_named_and_not_a_traceback(tmp_path):
    config, run = simulated(tmp_path), tmp_path / "run"
    assert raysweep("run", config, "--run-dir", run).returncode == 0
    segment = min((run / "ledger").glob("segment-*"))
    segment.write_bytes(segment.read_bytes()[:-40])
    for command in ("status", "report"):
        done = raysweep(command, run)
        assert done.returncode == 2
        assert segment.name in done.stderr
        assert "Traceback" not in done.stderr
