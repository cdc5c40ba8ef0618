"""`raysweep compare` on real run directories: exit codes, refusals, sentences, JSON; never a traceback."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from raysweep.cli.main import main
from raysweep.record.probes import Round, write_round
from raysweep.record.store import LocalStore
from support.cli_runs import raysweep, simulated
from support.made_runs import make_run, truth


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs the command line in this process; (exit code, standard output in one line, standard error)."""

    def run(*arguments, command="compare"):
        monkeypatch.setattr(sys, "argv", ["raysweep", command, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(end.value.code), out if "--json" in arguments else " ".join(out.split()), err

    return run


GOOD, BAD = ("good", 0.9), ("bad", 0.3)


def test_two_models_of_one_run(tmp_path, told):
    run = make_run(tmp_path / "r", truth(GOOD, BAD))
    code, out, _ = told(run, "--models", "good", "bad")
    assert code == 0
    assert "good leads bad by" in out
    assert "beyond sampling and infrastructure noise" in out
    assert "Robust to mismatched resources from 1x to 3x" in out
    code, out, _ = told(run, "--models", "bad", "good", "--json")
    document = json.loads(out)
    assert (code, document["comparison"]["beyond_noise"], document["comparison"]["robust_to_mismatch"]) == (
        0,
        True,
        True,
    )
    assert document["findings"][0]["value"] < 0
    assert set(document) == {"schema_version", "runs", "verdict", "checks", "findings", "provenance", "comparison"}


def test_two_runs_of_one_model_that_are_alike(tmp_path, told):
    a, b = (make_run(tmp_path / n, truth(("m", 0.5)), seed=s) for n, s in (("a", 1), ("b", 1)))
    code, out, _ = told(a, b)
    assert code == 1
    assert "a less b is not beyond noise" in out
    assert "not proof of equality" in out
    assert "Treat gaps under 3 points with caution" in out


def test_models_of_two_runs_are_chosen_by_name_or_asked_for(tmp_path, told):
    a, b = make_run(tmp_path / "a", truth(GOOD, BAD)), make_run(tmp_path / "b", truth(BAD, ("other", 0.2)))
    code, out, _ = told(a, b)  # the one model that both have
    assert (code, "a less b" in out) == (1, True)
    code, out, _ = told(a, b, "--models", "good", "other")
    assert (code, "good (a) leads other (b)" in out) == (0, True)
    c = make_run(tmp_path / "c", truth(GOOD, BAD))
    code, _, err = told(a, c)
    assert (code, err.count("choose with --models A B; here: good, bad")) == (2, 2)
    code, _, err = told(a, b, "--models", "good", "nobody")
    assert (code, "choose from bad, other" in err) == (2, True)


def test_runs_measured_differently_are_refused_by_field_unless_assumed(tmp_path, told):
    stated = truth(("m", 0.5))
    a = make_run(tmp_path / "a", stated)
    b = make_run(
        tmp_path / "b", stated, seed=2, environment={"cgroup": 1, "kernel": "5.4"}, facts={"sandbox": "docker"},
        edit=lambda row: {"limit_memory_mult": 4.0} if row["band"] == "3x" else {},
    )  # fmt: skip
    code, out, err = told(a, b)
    assert (code, out) == (2, "")
    for field, seen in (("sandbox", "local against docker"), ("cgroup", "2 against 1"), ("multipliers", "4.0")):
        assert f"alike in {field} " in err
        assert f"--assume-comparable {field}" in err
        assert seen in err
    assert "kernel" not in err
    given = [x for f in ("sandbox", "cgroup", "multipliers") for x in ("--assume-comparable", f)]
    code, out, _ = told(a, b, *given)
    assert code == 1
    assert "Assumed comparable, though not known to be alike: sandbox (local / docker);" in out
    assert "the runs also differ in kernel (6.1 / 5.4)" in out
    code, out, _ = told(a, b, *given, "--json")
    assumed = json.loads(out)["comparison"]["assumed"]
    assert {"field": "cgroup", "a": "2", "b": "1"} in assumed
    assert len(assumed) == 3


def test_what_is_unknown_is_refused_and_named(tmp_path, told):
    stated = truth(("m", 0.5))
    a = make_run(tmp_path / "a", stated)
    b = make_run(tmp_path / "b", stated, edit=lambda row: {"enforcement": None, "task_digest": None})
    code, _, err = told(a, b)
    assert code == 2
    for field in ("enforcement.memory", "enforcement.cpu", "task_digest"):
        assert f"alike in {field} " in err
    assert "against unknown" in err
    code, _, err = told(a, b, "--assume-comparable", "memory")
    assert (code, "is not a field of methodology" in err) == (2, True)


def test_a_limit_that_probes_found_not_to_hold_is_refused(tmp_path, told):
    stated = truth(("m", 0.5))
    a, b = (make_run(tmp_path / name, stated, seed=i) for i, name in enumerate("ab"))
    done = Round("all", "always", "before")
    held = {
        "probe_id": "p", "band": "1x", "bucket": "all", "occasion": "always", "moment": "before", "t_queued": 1.0,
        "limit_memory_asked": 64, "past_bytes": 70, "killed": True, "own_limit": True, "kill_s": 0.1,
    }  # fmt: skip
    write_round(LocalStore(b), done, [held])
    assert told(a, b)[0] != 2, "limits that held are those of a run without probes"
    write_round(LocalStore(b), done, [held | {"killed": False, "own_limit": None, "kill_s": None}])
    code, _, err = told(a, b)
    assert code == 2
    assert "alike in enforcement.probes (limits of the common bands that probes found not to hold)" in err
    assert "none against 1x: probe_past_lived" in err
    assert told(a, b, "--assume-comparable", "enforcement.probes")[0] != 2


def test_changed_tasks_and_specs_are_refused(tmp_path, told):
    stated = truth(("m", 0.5))
    a = make_run(tmp_path / "a", stated)
    b = make_run(
        tmp_path / "b", stated,
        edit=lambda row: {"task_digest": "new", "limit_memory_asked": 1} if row["task"] == "task-003" else {},
    )  # fmt: skip
    code, _, err = told(a, b)
    assert code == 2
    assert "task-003/task_digest: digest of task-003 against new" in err
    assert "alike in specs " in err


def test_too_few_dates_end_with_3_naming_the_days_or_with_a_stated_spread(tmp_path, told):
    run = make_run(tmp_path / "r", truth(GOOD, BAD, dates=1))
    code, out, _ = told(run, "--models", "good", "bad")
    assert code == 3
    assert "the run has 1 date and needs 2 more" in out
    code, out, _ = told(run, "--models", "good", "bad", "--temporal-sd", "2pp")
    assert code == 0
    assert "The spread between dates, 2 points, was stated and not measured" in out
    a, b = (make_run(tmp_path / n, truth(("m", 0.5), dates=d)) for n, d in (("a", 2), ("b", 3)))
    code, out, _ = told(a, b)
    assert (code, "a has 2 dates and needs 1 more (" in out) == (3, True)


@pytest.mark.parametrize(
    ("stated", "keep", "code", "text"),
    [
        (truth(GOOD, BAD, tasks=1), lambda row: True, 3, "one task cannot tell"),
        (truth(GOOD, BAD), lambda row: False, 3, "the ledger holds no attempt"),
        (truth(GOOD, BAD), lambda row: row["model"] == "good", 3, "no common task has results of both"),
        (truth(GOOD, BAD), lambda row: row["model"] == "good" or row["band"] == "1x", 0, "no results of both at 3x"),
    ],
    ids=["one task", "zero rows", "missing arm", "missing band"],
)  # fmt: skip
def test_degenerate_ledgers_give_a_sentence(tmp_path, told, stated, keep, code, text):
    run = make_run(tmp_path / "r", stated, keep=keep)
    ended, out, err = told(run, "--models", "good", "bad")
    assert ended == code, (out, err)
    assert text in out + err


def test_all_equal_outcomes_are_told_with_the_bound_on_other_tasks(tmp_path, told):
    same = {"outcome": "scored", "reward": 1.0, "cause": None, "cause_class": None}
    run = make_run(tmp_path / "r", truth(GOOD, BAD), edit=lambda row: same)
    code, out, _ = told(run, "--models", "good", "bad")
    assert code == 1
    assert "good less bad is not beyond noise (0 points, 95 % -22 to +22)" in out
    assert "every task gave the same value: with 12 tasks up to 22 % of tasks may still differ" in out


def test_runs_with_nothing_in_common_are_bad_input(tmp_path, told):
    a = make_run(tmp_path / "a", truth(("m", 0.5)))
    other = replace(truth(("m", 0.5)), names=tuple(f"other-{n}" for n in range(12)))
    code, _, err = told(a, make_run(tmp_path / "b", other))
    assert (code, "no task in common" in err) == (2, True)
    bands = make_run(tmp_path / "c", truth(("m", 0.5)), edit=lambda row: {"band": f"{row['band']}-c"},
                     facts={"bands": ["1x-c", "3x-c"], "reference": "1x-c"})  # fmt: skip
    code, _, err = told(a, bands)
    assert (code, "no band in common" in err) == (2, True)


def test_wrong_use_is_told(tmp_path, told):
    run = make_run(tmp_path / "r", truth(GOOD, BAD))
    for arguments, text in (
        ((run,), "one run needs two models to compare; choose two of good, bad"),
        ((run, run), "both are the same run"),
        ((tmp_path, run), "not a run directory"),
        ((run, "--models", "good", "good"), "one run needs two models"),
        ((run, "--models", "good", "bad", "--temporal-sd", "2"), "write it like 2pp"),
        ((run, "--models", "good", "bad", "--floor", "9x"), "not a common band with results"),
        ((run, "--models", "good", "bad", "--assume-comparable", "cgroup"), "one run has one methodology"),
    ):
        code, _, err = told(*arguments)
        assert (code, text in err) == (2, True), err


def test_two_simulated_sweeps_end_to_end(tmp_path, told):
    """Directories made by `raysweep run` itself: their methodology is known, and equal for equal sweeps."""
    config = simulated(tmp_path, tasks=6, extra="buckets: {windows: {day: '00:00-24:00'}, dates: 3}\n")
    config.write_text(config.read_text().replace("repeats: 2", "repeats: 3"))
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        assert told(config, "--run-dir", run, command="run")[0] == 0
    code, out, err = told(*runs, "--json")
    assert code == 1, err
    document = json.loads(out)
    assert document["comparison"]["claim"] == "not beyond noise"
    assert document["findings"][0]["value"] == 0.0, "one seed, one truth: the same outcomes"


def test_the_command_itself_in_a_process_of_its_own(tmp_path):
    run = make_run(tmp_path / "r", truth(GOOD, BAD, dates=2))
    done = raysweep("compare", run, "--models", "good", "bad", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["comparison"]["claim"] == "not enough data"
