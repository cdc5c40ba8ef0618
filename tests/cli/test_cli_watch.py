"""`raysweep watch` as a user starts it: while a run goes on, when it is over, and when its driver is gone."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from support.cli_runs import PATIENCE_S, RAYSWEEP, raysweep, simulated, status_of

EXCLUDED = ("ray", "kubernetes")


def looks_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("complete")
    done = raysweep("run", simulated(folder), "--run-dir", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory):
    """A pilot of three of eight blocks: nothing holds it, trials are missing."""
    folder = tmp_path_factory.mktemp("incomplete")
    done = raysweep("run", simulated(folder), "--run-dir", folder / "run", "--blocks", "3")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_complete_run_ends_at_once_with_the_figures_of_its_report(complete):
    done = raysweep("watch", complete, "--json", "--patience", "forever")
    assert done.returncode == 0, done.stderr
    last = looks_of(done)[-1]
    assert last["complete"]
    assert last["label"]["code"] == "final"
    report = json.loads(raysweep("report", complete, "--json").stdout)
    theirs = [
        {k: f[k] for k in ("value", "low", "high")}
        for f in report["findings"]
        if f["estimand"] == "success" and f["reference"] == "1x" and f["resampled_over"] == "tasks" and not f["facet"]
    ]
    ours = [
        {k: f[k] for k in ("value", "low", "high")}
        for f in last["findings"]
        if f["estimand"] == "success" and f["reference"] == "1x"
    ]
    assert ours == theirs
    assert len(ours) == 1


def test_a_run_whose_driver_is_gone_ends_with_3_and_every_number_is_labelled(incomplete):
    done = raysweep("watch", incomplete, "--json", "--patience", "1s")
    assert done.returncode == 3, done.stderr
    looks = looks_of(done)
    assert looks[-1]["done"] == 6
    for look in looks:
        assert look["label"]["code"] == "peek"
        assert "excludes 0 by chance" in look["label"]["message"]
        assert look["findings"]
        assert {f["label"] for f in look["findings"]} == {"peek"}
    assert "no driver" in looks[-1]["state"]


def test_without_a_terminal_looks_stand_one_below_the_other(incomplete):
    done = raysweep("watch", incomplete, "--patience", "0s", COLUMNS="160")
    assert done.returncode == 3, done.stderr
    for text in ("not finished", "excludes 0 by chance", "do not decide by it", "success - 1x", "peek"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout


def test_in_a_terminal_one_table_changes(complete):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [RAYSWEEP, "watch", str(complete)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "60"},
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0, process.stderr.read()
    process.stderr.close()
    assert b"the sweep is over" in shown
    assert b"success - 1x" in shown


def test_a_run_is_watched_while_it_goes_on(tmp_path):
    config = simulated(tmp_path, tasks=20, duration='["0.3s", "0.5s"]', executor="ray")
    with subprocess.Popen(
        [RAYSWEEP, "run", str(config), "--run-dir", str(tmp_path / "run")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as driver:
        while not (tmp_path / "run" / "run.json").exists():
            assert driver.poll() is None, driver.stderr.read()
            time.sleep(0.05)
        done = raysweep("watch", tmp_path / "run", "--json", "--every", "0s")
        assert driver.wait(PATIENCE_S) == 0, driver.stderr.read()
    assert done.returncode == 0, done.stderr
    looks = looks_of(done)
    counts = [look["attempts"] for look in looks]
    assert counts == sorted(counts)
    assert counts[-1] == status_of(tmp_path / "run")["done"] == 80
    assert len(set(counts)) > 2, "no look before the end"
    assert {look["label"]["code"] for look in looks if 0 < look["done"] < 80} == {"peek"}
    assert looks[-1]["label"]["code"] == "final"


def test_ctrl_c_ends_it_with_130(incomplete):
    with subprocess.Popen(
        [RAYSWEEP, "watch", str(incomplete), "--json", "--patience", "forever"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert json.loads(process.stdout.readline())["done"] == 6
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


@pytest.mark.parametrize("option", ["--every", "--patience"])
def test_a_duration_that_is_none_is_refused(complete, option):
    done = raysweep("watch", complete, option, "soon")
    assert done.returncode == 2
    assert option in done.stderr


def test_what_is_no_run_is_refused(tmp_path):
    done = raysweep("watch", tmp_path)
    assert done.returncode == 2
    assert "not a run directory" in done.stderr


def test_no_ray_is_needed(complete):
    program = (
        "import json, sys\nfrom raysweep.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "watch", str(complete), "--json"], capture_output=True, text=True, check=True
    )
    assert [m for m in EXCLUDED if m in json.loads(done.stderr.splitlines()[-1])] == []
