"""`raysweep plan --calendar`: its JSON, its table, and the command itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from typer.testing import CliRunner

from raysweep.cli.main import app
from raysweep.cli.plan import plan_command

sys.path.insert(0, str(Path(__file__).parent))
from cli_runs import simulated

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


def test_a_sweep_without_windows_says_so(tmp_path):
    arguments = ["plan", str(simulated(tmp_path)), "--out", str(tmp_path / "plan.parquet"), "--calendar"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "always open" in done.output
