"""The public Python API: cheap to import, the same numbers as the commands, runs that end cleanly and resume."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading

import pytest

import raysweep
from raysweep.errors import InputError
from support.cli_runs import raysweep as command
from support.cli_runs import simulated

HEAVY = ("ray", "scipy", "pyarrow", "kubernetes", "numpy", "typer", "aiohttp", "pydantic")


def test_the_import_loads_nothing_heavy_and_every_name_is_there():
    heavy = f"[m for m in {HEAVY} if m in sys.modules]"
    code = f"import sys, raysweep; print({heavy}, all(n in dir(raysweep) for n in raysweep._API))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]
    for name in raysweep._API:
        assert getattr(raysweep, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = raysweep.nothing


def test_a_run_and_its_report_are_those_of_the_commands(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=12))
    run = raysweep.run(study, tmp_path / "mine")
    assert command("run", tmp_path / "sweep.yaml", "--run-dir", tmp_path / "theirs").returncode == 0
    columns = ["trial_id", "attempt", "outcome", "cause", "reward"]
    theirs = raysweep.open_run(tmp_path / "theirs")
    assert run.trials.select(columns).sort_by("trial_id") == theirs.trials.select(columns).sort_by("trial_id")
    assert command("report", tmp_path / "mine", "--out", tmp_path / "by-command").returncode == 0
    page = run.report(tmp_path / "by-api")
    assert page == tmp_path / "by-api" / "report.html"
    one, other = (json.loads((tmp_path / by / "report.json").read_text()) for by in ("by-api", "by-command"))
    assert one == other
    assert len(run.analyse().findings) + len(run.analyse().details) == len(one["findings"])


def test_tables_have_a_row_for_each_trial_and_each_attempt(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=20, platform="{node_lost: 0.05}"))
    run = raysweep.run(study, str(tmp_path / "run"))
    assert study.plan.num_rows == run.plan.num_rows == study.trials == run.trials.num_rows == 80
    assert run.attempts.num_rows > 80
    assert len(set(run.trials["trial_id"].to_pylist())) == 80
    status = run.status()
    assert (status.planned, status.done, status.complete) == (80, 80, True)
    assert sum(status.by_outcome.values()) == 80


def test_what_a_callback_raises_ends_the_run_cleanly_and_the_same_call_resumes(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=20))
    seen: list[raysweep.Progress] = []

    def enough(progress):
        seen.append(progress)
        if progress.finished >= 10:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raysweep.run(study, tmp_path / "run", progress=enough)
    before = raysweep.open_run(tmp_path / "run")
    done = {row["trial_id"] for row in before.trials.to_pylist() if row["outcome"] != "cancelled"}
    assert 10 <= len(done) < 80
    run = raysweep.run(study, tmp_path / "run")
    assert run.status().complete
    counted = [row["trial_id"] for row in run.attempts.to_pylist() if row["outcome"] != "cancelled"]
    assert sorted(counted) == sorted(set(counted))
    assert len(counted) == 80


async def test_a_cancelled_run_is_recorded_and_resumes(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=60))
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    def progress(now):
        if now.finished >= 3:
            loop.call_soon_threadsafe(begun.set)

    running = asyncio.ensure_future(raysweep.run_async(study, tmp_path / "run", progress=progress))
    await asyncio.wait({asyncio.ensure_future(begun.wait()), running}, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await asyncio.wait({running})
    run = await raysweep.run_async(study, tmp_path / "run")
    assert run.status().complete
    assert run.trials.num_rows == 240


async def test_a_run_that_is_cancelled_twice_is_still_waited_for(tmp_path, monkeypatch):
    begun, interrupted, may_end, ended = (threading.Event() for _ in range(4))

    class Slow:
        def __init__(self, *_: object) -> None:
            pass

        def to_its_end(self) -> None:
            begun.set()
            assert may_end.wait(600)
            ended.set()

        def interrupt(self) -> None:
            interrupted.set()

    monkeypatch.setattr("raysweep.study.interruptible.InterruptibleRun", Slow)
    running = asyncio.ensure_future(raysweep.run_async(raysweep.load(simulated(tmp_path)), tmp_path / "run"))
    try:
        await asyncio.to_thread(begun.wait)
        for _ in range(3):
            running.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            assert interrupted.is_set()
            assert not running.done()
    finally:
        may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


def test_a_pilot_and_two_runs_compared(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=10))
    pilot = raysweep.run(study, tmp_path / "one", blocks=2)
    assert (pilot.status().done, pilot.status().complete) == (4, False)
    one = raysweep.run(study, tmp_path / "one")
    other = raysweep.run(study, tmp_path / "other")
    assert raysweep.compare(one, other).delta.estimand
    assert raysweep.calibrate([one], delta=0.02).floor == "1x"


def test_bad_input_is_an_error_with_its_remedy(tmp_path):
    with pytest.raises(InputError, match="not a run directory"):
        raysweep.open_run(tmp_path)
    (tmp_path / "sweep.yaml").write_text("name: x\nbands: 3\n")
    with pytest.raises(InputError) as caught:
        raysweep.load(tmp_path / "sweep.yaml")
    assert len(caught.value.problems) > 1
    run = raysweep.run(raysweep.load(simulated(tmp_path)), tmp_path / "run")
    with pytest.raises(InputError, match="is a run directory"):
        run.report(tmp_path / "run")


async def test_run_works_where_an_event_loop_runs_as_in_a_notebook(tmp_path):
    assert raysweep.run(raysweep.load(simulated(tmp_path)), tmp_path / "run").status().complete


@pytest.mark.parametrize("blocks", [0, -1])
def test_a_pilot_has_at_least_one_block(tmp_path, blocks):
    with pytest.raises(InputError, match="not a number of blocks"):
        raysweep.run(raysweep.load(simulated(tmp_path)), tmp_path / "run", blocks=blocks)
    assert not (tmp_path / "run").exists()


def test_a_star_import_gives_the_api():
    names: dict[str, object] = {}
    exec("from raysweep import *", names)
    assert {"load", "run", "open_run"} <= names.keys()
    assert "importlib" not in names


def test_a_sweep_that_the_registered_rule_stopped_is_not_continued(tmp_path):
    study = raysweep.load(simulated(tmp_path, tasks=10))
    pilot = raysweep.run(study, tmp_path / "run", blocks=2)
    (tmp_path / "run" / "stopped.json").write_text(json.dumps({"reason": "decided"}))
    assert raysweep.run(study, tmp_path / "run").attempts.num_rows == pilot.attempts.num_rows == 4
