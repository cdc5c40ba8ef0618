"""`raysweep plan --calendar`: its JSON, its table, and the command itself."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from raysweep.cli.main import app
from raysweep.cli.plan import plan_command
from raysweep.cli.run import run_command
from raysweep.errors import InputError
from raysweep.record.reader import read_ledger
from support.cli_runs import simulated

SPRING = """
buckets:
  timezone: America/New_York
  windows: {night: "22:00-03:00", day: "08:00-20:00"}
  dates: 2
  start: 2026-03-07
"""


def calendar(tmp_path, capsys, *, as_json):
    config = simulated(tmp_path, extra=SPRING)
    plan_command(config, tmp_path / "plan.parquet", None, as_json=as_json, calendar=True)
    return capsys.readouterr().out


def test_the_calendar_as_json_is_local_and_utc_across_a_clock_change(tmp_path, capsys):
    told = json.loads(calendar(tmp_path, capsys, as_json=True))["calendar"]
    assert told["timezone"] == "America/New_York"
    assert told["load"] == "at most"
    day, night, *_ = told["windows"]
    assert (day["bucket"], day["date"], day["label"], day["weekday"]) == ("day", 1, "2026-03-07", "sat")
    assert (day["blocks"], day["trials"]) == (4, 8)
    assert (night["opens"], night["closes"]) == ("2026-03-07T22:00:00-05:00", "2026-03-08T03:00:00-04:00")
    assert (night["opens_utc"], night["closes_utc"]) == ("2026-03-08T03:00:00+00:00", "2026-03-08T07:00:00+00:00")
    assert (night["length_s"], night["clock_change"]) == (4 * 3600.0, "shorter")
    assert [w["clock_change"] for w in told["windows"]] == [None, "shorter", None, None]
    assert told["planned_end"] == "2026-03-09T07:00:00+00:00"
    assert told["windows"][-1]["opens_utc"] < told["end"] <= told["planned_end"]


def test_the_calendar_as_a_table_says_the_same_to_a_person(tmp_path, capsys):
    told = calendar(tmp_path, capsys, as_json=False)
    night = next(line for line in told.splitlines() if "night" in line and "clocks" in line)
    assert "03-07 22:00" in night
    assert "shorter: the clocks change" in night
    assert "the last planned window closes 2026-03-09 03:00 EDT (03-09 07:00 UTC)" in told
    assert "finished by 2026-03-0" in told


CYCLES = 'buckets: {period: 100s, windows: {a: "0s-40s", b: "50s-90s"}, dates: 2}\n'


def going(config, capsys, tmp_path, run, *, as_json=True):
    plan_command(config, tmp_path / "plan.parquet", None, as_json=as_json, calendar=True, run_dir=run)
    told = capsys.readouterr().out
    return json.loads(told)["calendar"] if as_json else told


def test_the_calendar_of_a_run_says_what_is_done_and_when_the_rest_will_be(tmp_path, capsys):
    config, run = simulated(tmp_path, extra=CYCLES), tmp_path / "run"
    assert run_command(config, run, 6, as_json=True) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["done"], status["planned"]) == (12, 32)
    told = going(config, capsys, tmp_path, run)
    assert told["run"] == {"path": str(run), "complete": 6, "left": 10, "waiting": 0}
    assert [w["left"] for w in told["windows"]] == [0, 2, 4, 4]
    assert told["load"] == "expected", "its own trials tell how long they take"
    assert told["end"] <= told["planned_end"]
    said = going(config, capsys, tmp_path, run, as_json=False)
    assert "6 of 16 blocks are complete" in said
    assert "if it goes on now" in said
    assert run_command(config, run, None, as_json=True) == 0
    capsys.readouterr()
    told = going(config, capsys, tmp_path, run)
    assert told["run"]["left"] == 0
    last = max(read_ledger(run).table["t_stopped"].to_pylist())
    assert told["end"] == last.isoformat(timespec="seconds")
    assert "finished at " in going(config, capsys, tmp_path, run, as_json=False)


def test_the_usual_run_directory_is_found_and_that_of_another_version_is_left_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = simulated(tmp_path, extra=CYCLES)
    assert run_command(config, None, 6, as_json=True) == 0
    capsys.readouterr()
    assert going(config, capsys, tmp_path, None)["run"]["complete"] == 6
    config.write_text(config.read_text() + "# another version\n")
    plan_command(config, tmp_path / "plan.parquet", None, as_json=True, calendar=True)
    told = capsys.readouterr()
    assert json.loads(told.out)["calendar"]["run"] is None
    assert "the calendar is that of a new one" in told.err
    with pytest.raises(InputError, match="another version"):
        going(config, capsys, tmp_path, tmp_path / "runs" / "simulated")


def test_a_run_directory_that_is_not_there_is_refused(tmp_path):
    config = simulated(tmp_path, extra=CYCLES)
    with pytest.raises(InputError, match="not a run directory"):
        plan_command(config, tmp_path / "p", None, as_json=True, calendar=True, run_dir=tmp_path / "no")
    with pytest.raises(InputError, match="add --calendar"):
        plan_command(config, tmp_path / "p", None, as_json=True, run_dir=tmp_path / "no")


def test_a_sweep_without_windows_says_so(tmp_path):
    arguments = ["plan", str(simulated(tmp_path)), "--out", str(tmp_path / "plan.parquet"), "--calendar"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "always open" in done.output
