"""`raysweep run --until-window-end`: one invocation for each window, as a CronJob makes them."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import pytest

from raysweep.cli.ending import parting
from raysweep.cli.run import run_command
from raysweep.errors import UnsuitableError
from raysweep.record.reader import read_ledger
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Window
from raysweep.study.window import arrival, invocation_at
from support.plans import sweep_text

DAYS = 'buckets: {windows: {night: "00:00-06:00", day: "12:00-18:00"}, dates: 2, makeup_dates: 1}'
ALL_DAY = 'buckets: {windows: {am: "00:00-12:00", pm: "12:00-24:00"}, dates: 2, start: %s}'
CYCLES = Cycles(0.0, 200.0, [Window("first", 0, 90), Window("second", 100, 200)])


def config(folder: Path, buckets: str, executor="inprocess", **options) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(sweep_text(buckets=buckets, **options).replace("inprocess", executor))
    return path


def invoke(capsys, path: Path, run: Path) -> tuple[int, dict, str]:
    """Exit code, JSON and what was said."""
    code = run_command(path, run, None, as_json=True, until_window_end=True)
    told = capsys.readouterr()
    return code, json.loads(told.out), told.err


def test_a_turn_is_the_open_occasion_up_to_the_last_date():
    turn = invocation_at(CYCLES, 50.0, last_date=2)
    assert (turn.open.bucket, turn.end, turn.opens) == ("first", 90.0, 100.0)
    turn = invocation_at(CYCLES, 95.0, last_date=2)
    assert (turn.open, turn.end, turn.opens) == (None, 95.0, 100.0)
    assert invocation_at(CYCLES, 350.0, last_date=2).opens is None, "the last window has no next one"
    turn = invocation_at(CYCLES, 450.0, last_date=2)
    assert (turn.open, turn.end, turn.opens) == (None, 450.0, None)
    assert invocation_at(AlwaysOpen(0.0), 5.0, last_date=1).end == float("inf")


def test_in_virtual_time_the_next_invocation_comes_at_an_opening():
    assert arrival(CYCLES, 0.0, last=-1.0) == 0.0
    assert arrival(CYCLES, 50.0, last=50.0) == 100.0
    assert arrival(CYCLES, 95.0, last=95.0) == 100.0
    assert arrival(AlwaysOpen(0.0), 50.0, last=50.0) == 50.0


def test_what_is_said_where_no_window_is_left():
    assert "all planned and make-up windows are over" in parting(
        invocation_at(CYCLES, 450.0, last_date=2), 3, "raysweep run X"
    )


def test_one_invocation_for_each_window_until_the_sweep_is_complete(tmp_path, capsys):
    path, run = config(tmp_path, DAYS, tasks=3), tmp_path / "run"
    codes, windows, seen = [], [], 0
    while not codes or (codes[-1] == 3 and len(codes) < 9):
        code, told, said = invoke(capsys, path, run)
        codes.append(code)
        rows = read_ledger(run).table.to_pylist()
        new, seen = rows[seen:], len(rows)
        windows.append((told["window"]["bucket"], told["window"]["occasion"]))
        assert {(r["actual_bucket"], r["actual_occasion"]) for r in new} == {windows[-1]}
        assert Counter((r["bucket"], r["occasion"]) for r in new) == {windows[-1]: 6}
        assert told["complete"] == (code == 0)
        if code == 3:
            assert told["next_opens"] in said
    assert codes == [3, 3, 3, 0]
    assert [bucket for bucket, _ in windows] == ["night", "day", "night", "day"]
    assert len(set(windows)) == 4
    written = sorted((run / "ledger").iterdir())
    assert invoke(capsys, path, run)[0] == 0, "one more changes nothing"
    assert sorted((run / "ledger").iterdir()) == written, "it does not even begin"
    assert len(read_ledger(run).table) == seen


def test_where_no_window_is_open_it_ends_at_once_and_says_when_one_opens(tmp_path, capsys):
    path = config(tmp_path, DAYS.replace("dates: 2", "dates: 2, start: 2099-01-01"), executor="ray")
    code, told, said = invoke(capsys, path, tmp_path / "run")
    assert code == 3
    assert told["window"] is None
    assert told["next_opens"] == "2099-01-01T00:00:00+00:00"
    assert "no window is open" in said
    assert "the next window opens 2099-01-01T00:00:00+00:00" in said
    assert told["done"] == 0


@pytest.mark.ray
@pytest.mark.usefixtures("embedded_ray")
def test_on_ray_it_ends_with_the_window_though_the_next_one_is_near(tmp_path, capsys):
    buckets = "buckets: {period: 20m, windows: {first: 0s-10m, second: 10m-20m}, dates: 1}"
    path, run = config(tmp_path, buckets, executor="ray", tasks=2, repeats=1), tmp_path / "run"
    path.write_text(path.read_text().replace('["1s", "9s"]', '["10ms", "20ms"]'))
    code, told, _ = invoke(capsys, path, run)
    assert code == 3
    assert told["window"]["bucket"] == "first"
    assert (told["done"], told["planned"]) == (4, 8)
    assert {r["bucket"] for r in read_ledger(run).table.to_pylist()} == {"first"}


UNREACHABLE = {"KUBECONFIG": "/nowhere", "KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_PORT": ""}


def test_outside_of_every_window_the_sandbox_host_is_left_alone(tmp_path, capsys, monkeypatch):
    for name, value in UNREACHABLE.items():
        monkeypatch.setenv(name, value)
    pods = "sandbox: {kind: kubernetes, images: tags}"
    far = DAYS.replace("dates: 2", "dates: 2, start: 2099-01-01")
    text = sweep_text(buckets=far).replace("synthetic:3", "bundled:headroom")
    head, _ = text.split("sandbox:")
    path, run = tmp_path / "sweep.yaml", tmp_path / "run"
    path.write_text(f"{head}{pods}\nrunner: {{concurrency: 2}}\n")
    code, told, said = invoke(capsys, path, run)
    assert (code, told["window"], told["done"]) == (3, None, 0)
    assert "no window is open" in said
    assert not list((run / "ledger").glob("*")), "no driver began"
    assert invoke(capsys, path, run)[0] == 3, "nor does it in a run that is there"

    path.write_text(path.read_text().replace(far, ALL_DAY % dt.datetime.now(dt.UTC).date()))
    with pytest.raises(UnsuitableError):
        invoke(capsys, path, tmp_path / "open")
    assert not (tmp_path / "open").exists(), "in a window the host is looked at before anything is written"
