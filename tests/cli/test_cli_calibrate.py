"""`raysweep calibrate` on real run directories: exit codes, sentences, JSON, proposals; never a traceback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raysweep.cli.main import main
from raysweep.clock import SystemClock
from raysweep.plan.table import plan_rows
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.schema import BY_NAME
from raysweep.study import load
from raysweep.study.directory import run_directory
from support.plan_tables import TRIAL_COLUMNS

MIB = 1024**2
SWEEP = """\
name: made
seed: 3
tasks: {{source: "{source}", defaults: {{cpus: 1, memory: 64Mi}}}}
models: [{models}]
bands: [{bands}]
reference: 1x
repeats: {repeats}
sandbox: {{kind: simulated}}
analysis: {{primary: success, delta: {delta}pp}}
{extra}
"""
BANDS = {"1x": "1.0", "2x": "2.0", "5x": "5.0"}
DEATH = {"outcome": "infra", "cause": "oom_limit", "cause_class": "resource", "oom_kills": 1, "phase": "agent"}


def trial(success, deaths):
    """How a trial ends: shares per band that pass and that die; who dies would have failed."""

    def end(row, rng):
        u = rng.random()
        if u > 1 - deaths[row["band"]]:
            return DEATH
        return {"outcome": "scored", "reward": float(u < success[row["band"]]), "oom_kills": 0}

    return end


PLAIN = trial({"1x": 0.5, "2x": 0.5, "5x": 0.9}, {"1x": 0.2, "2x": 0.02, "5x": 0.0})


def make_run(
    folder, end=PLAIN, *, source="synthetic:12", repeats=30, models=("m",), bands=BANDS, delta=10, extra="", keep=None
):
    """A run directory made by the command line's own code, its ledger filled from the plan by `end`."""
    named = ", ".join(f"{{name: {m}, agent: nop}}" for m in models)
    limits = ", ".join(f"{{name: {b}, request: 1.0, limit: {limit}}}" for b, limit in bands.items())
    path = folder / "sweep.yaml"
    text = SWEEP.format(source=source, models=named, bands=limits, repeats=repeats, delta=delta, extra=extra)
    path.write_text(text)
    study = load.load_study(path)
    store, _ = run_directory(study, folder / "run")
    lock = LocalLock(folder / "run", store, SystemClock())
    lock.acquire({})
    ledger, rng = LedgerWriter(store, lock, SystemClock()), np.random.default_rng(4)
    for row in plan_rows(study.plan, study.sweep, list(study.tasks.values())):
        made = {k: v for k, v in row.items() if k in BY_NAME} | {"factors": {}}
        made |= {
            "run_id": "r", "attempt_id": f"{row['trial_id']}-1", "attempt": 1, "block_run": 1,
            "occasion": f"d{row['date']}", "actual_occasion": f"d{row['date']}", "actual_bucket": row["bucket"],
            "crossed_boundary": False, "timed_out": False, "t_agent_start": 0.0, "t_agent_end": 30.0,
            "mem_anon_peak_bytes": 40 * MIB, "mem_peak_bytes": 50 * MIB, "cpu_peak_1s": 700.0, "cpu_peak_10s": 400.0,
            "phase": "verifier",
        }  # fmt: skip
        made |= end(row, rng)
        if keep is None or keep(row):
            ledger.append(made)
    ledger.seal()
    lock.release()
    return folder / "run"


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs the command line in this process; (exit code, standard output in one line, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["raysweep", "calibrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(end.value.code), out if "--json" in arguments else " ".join(out.split()), err

    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("plain"))


def test_an_admissible_ceiling_is_0_with_its_sentence(told, plain):
    code, out, _ = told(plain, "--floor", "1x", "--delta", "10pp")
    assert code == 0
    assert "Recommended: 2x, the largest ceiling within ±10 points of 1x" in out
    assert "m: 2x is within the band: success differs by" in out
    assert "m: 5x changes the benchmark" in out
    assert "Kill curve" in out
    assert "exploratory" not in out, "delta and floor are those that were registered"


def test_json_alone_on_standard_output_says_the_same(told, plain):
    code, out, _ = told(plain, "--delta", "9pp", "--json")
    found = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
    assert code == 0
    assert set(found) == {"schema_version", "runs", "verdict", "calibration", "checks", "findings", "provenance"}
    calibration = found["calibration"]
    assert (calibration["floor"], calibration["delta"], calibration["recommended"]) == ("1x", 0.09, "2x")
    assert [c["verdict"] for c in calibration["models"][0]["ceilings"]] == ["within the band", "changes the benchmark"]
    assert "delta 9 points instead of 10" in calibration["cautions"][0]["message"]
    assert found["verdict"][0]["text"].startswith("Recommended: 2x")


def test_infra_max_decides_and_none_admissible_is_1(told, plain):
    assert told(plain, "--infra-max", "8%")[0] == 0
    code, out, _ = told(plain, "--infra-max", "0.5%")
    assert code == 1
    assert "No ceiling above 1x is admissible" in out
    assert "above 0.5 %" in out


def test_too_few_blocks_are_3_and_say_how_many(told, plain):
    code, out, _ = told(plain, "--delta", "1pp")
    assert code == 3
    assert "Not enough data to recommend a ceiling above 1x" in out
    assert "blocks per task" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--floor", "9x"], "the bands of this run are 1x, 2x, 5x"),
        (["--floor", "5x"], "choose a lower floor"),
        (["--delta", "0.02"], "write it like 2pp"),
        (["--delta", "0pp"], "write it like 2pp"),
        (["--infra-max", "many"], "write it like 1%"),
        (["--infra-max", "100%"], "write it like 1%"),
    ],
)
def test_what_makes_no_sense_is_2_and_says_what_does(told, plain, arguments, says):
    code, out, err = told(plain, *arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_what_is_no_run_directory_is_2(told, tmp_path):
    code, _, err = told(tmp_path)
    assert code == 2
    assert "not a run directory" in err


def always(**ending):
    return lambda _row, _rng: {"outcome": "scored", "reward": 1.0, "oom_kills": 0} | ending


DATES = 'buckets: {windows: {a: "00:00-12:00", b: "12:00-24:00"}, dates: %d}'
POOR = {
    "one task": ({"source": "synthetic:1"}, 3, "Not enough data"),
    "one task, one block": ({"source": "synthetic:1", "repeats": 1}, 3, "Not enough data"),
    "one block": ({"repeats": 1}, 3, "Not enough data"),
    "one date": ({"extra": DATES % 1}, 0, "Recommended: 2x"),
    "several dates": ({"extra": DATES % 2}, 0, "Recommended: 2x"),
    "all equal": ({"end": always()}, 1, "no fall of infrastructure deaths is shown (from 0 % to 0 %"),
    "all equal, few blocks": ({"end": always(), "repeats": 1, "delta": 1}, 3, "blocks per task would show it"),
    "all dead": ({"end": always(**DEATH, reward=None)}, 1, "no fall of infrastructure deaths is shown"),
    "no result": ({"end": always(outcome="cancelled", reward=None)}, 3, "no block has a result in both arms"),
    "no sound verifier": ({"end": always(outcome="verifier_error", reward=None)}, 3, "Not enough data"),
    "no ceiling's rows": ({"keep": lambda row: row["band"] == "1x"}, 3, "no block has a result in both arms"),
    "no floor's rows": ({"keep": lambda row: row["band"] != "1x"}, 3, "no block has a result in both arms"),
    "a missing arm": ({"keep": lambda row: row["band"] != "2x"}, 3, "2x: not enough data"),
    "a missing model": ({"models": ("m", "n"), "keep": lambda row: row["model"] == "m"}, 3, "n: 2x: not enough data"),
    "zero rows": ({"keep": lambda _: False}, 3, "Not enough data to recommend a ceiling above 1x"),
    "one band": ({"bands": {"1x": "1.0"}}, 2, "no band is wider than the floor"),
    "partial rewards": ({"end": lambda _, rng: {"outcome": "scored", "reward": rng.random()}}, 1, "is too tight"),
    "no peaks": (
        {"end": always(mem_anon_peak_bytes=None, mem_peak_bytes=None, cpu_peak_1s=None, cpu_peak_10s=None)},
        1,
        "24 values: nothing observed",
    ),
}


@pytest.mark.parametrize("case", list(POOR))
def test_poor_ledgers_get_a_sentence(told, tmp_path, case):
    given, expected, says = POOR[case]
    run = make_run(tmp_path, **given)
    code, out, err = told(run)
    assert code == expected, out
    assert says in (err if expected == 2 else out)
    assert "nan" not in out.split()
    if expected != 2:
        again, document, _ = told(run, "--json")
        json.loads(document, parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
        assert again == code


def test_an_old_plan_has_no_time_limits_and_says_so(told, tmp_path):
    run = make_run(tmp_path, repeats=2)
    old = pq.read_table(run / "plan.parquet").select(list(TRIAL_COLUMNS))
    buffer = io.BytesIO()
    pq.write_table(old, buffer)
    (run / "plan.parquet").write_bytes(buffer.getvalue())
    assert "12 values: declared value unknown" in told(run)[1]


TOML = "# mine\n[agent]\ntimeout_sec = 20.0 # short\n\n[environment]\nmemory_mb = 64\ncpus = 1\n"


def make_tasks(root: Path, names=("one", "two")):
    for name in names:
        folder = root / name
        (folder / "tests").mkdir(parents=True)
        (folder / "task.toml").write_text(TOML)
        (folder / "instruction.md").write_text("Do it.\n")
        (folder / "tests" / "test.sh").write_text("#!/bin/sh\n")
    return root


def hungry(row, rng):
    """Task `one` needs 100 MiB; trials take 30 s where 20 s are declared."""
    peak = 100 * MIB if row["task"] == "one" and row["band"] != "1x" else 40 * MIB
    return PLAIN(row, rng) | {"mem_anon_peak_bytes": peak, "mem_peak_bytes": peak}


@pytest.fixture
def real(tmp_path):
    """A run of two real tasks, given by a path relative to the sweep's file."""
    make_tasks(tmp_path / "set")
    return make_run(tmp_path, hungry, source="set")


def files(root):
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_write_proposes_files_and_a_diff_and_leaves_the_originals(told, real, tmp_path):
    before = files(tmp_path / "set")
    code, out, _ = told(real, "--write", tmp_path / "out")
    assert code in {0, 1, 3}
    assert "proposal.diff" in out
    assert files(tmp_path / "set") == before
    # The longest trial took 30 s: 64 s is its double, rounded up. Kills at 2x ask for more than 128 MiB.
    made = files(tmp_path / "out")
    assert "timeout_sec = 64.0 # short" in made["one/task.toml"]
    assert made["one/task.toml"].startswith("# mine\n")
    assert "+memory_mb = 256\n" in made["proposal.diff"]
    assert (made["proposal.diff"].count("\n-"), made["proposal.diff"].count("\n+")) == (5, 6), "values, and headers"
    assert set(made) == {"one/task.toml", "two/task.toml", "proposal.diff"}


def test_originals_elsewhere_are_given_and_changed_ones_are_told(told, real, tmp_path):
    (tmp_path / "set").rename(tmp_path / "elsewhere")
    code, _, err = told(real, "--write", tmp_path / "out")
    assert code == 2
    assert "the original tasks were not found" in err
    assert "--tasks" in err
    assert not (tmp_path / "out").exists()
    (tmp_path / "elsewhere" / "two" / "instruction.md").write_text("Do it well.\n")
    code, _, err = told(real, "--write", tmp_path / "out", "--tasks", tmp_path / "elsewhere")
    assert code != 2
    assert "task two changed since the run" in err
    assert "task one" not in err


def test_a_task_that_is_gone_is_named(told, real, tmp_path):
    for path in sorted((tmp_path / "set" / "two").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    code, _, err = told(real, "--write", tmp_path / "out")
    assert code == 2
    assert "two" in err


def test_made_up_tasks_have_no_files(told, plain, tmp_path):
    code, _, err = told(plain, "--write", tmp_path / "out")
    assert code == 2
    assert "made-up tasks have no task.toml" in err


def test_a_folder_in_use_is_refused(told, real, tmp_path):
    code, _, err = told(real, "--write", tmp_path / "set")
    assert code == 2
    assert "not an empty folder" in err
