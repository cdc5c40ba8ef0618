"""`raysweep report RUN...` on real run directories: what is written where, refusals, exit codes."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from raysweep.cli.main import main
from support.cli_runs import raysweep, simulated
from support.made_runs import make_run, truth


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs the command line in this process; (exit code, standard output in one line, standard error)."""

    def run(*arguments, command="report"):
        monkeypatch.setattr(sys, "argv", ["raysweep", command, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(end.value.code), out if "--json" in arguments else " ".join(out.split()), err

    return run


def test_two_clusters_in_one_report(tmp_path, told):
    a, b = (make_run(tmp_path / n, truth(("m", 0.5)), seed=i, facts={"seed": i}) for i, n in enumerate(("gke", "kind")))
    out = tmp_path / "out"
    code, said, err = told(a, b, "--out", out)
    assert (code, err) == (0, "")
    assert "2 runs, analysed together" in said
    assert "m: run by run, success moves from 1x to 3x by" in said
    ids = [json.loads((run / "run.json").read_text())["run_id"] for run in (a, b)]
    document = json.loads((out / "report.json").read_text())
    assert set(document) == {"schema_version", "runs", "verdict", "checks", "findings", "provenance"}
    assert document["runs"] == ids
    where = document["provenance"]["runs"]
    assert {name: (r["run"], r["run_id"]) for name, r in where.items()} == {
        "gke": (str(a), ids[0]),
        "kind": (str(b), ids[1]),
    }
    assert where["gke"]["dates"] == ["2026-02-02", "2026-02-03", "2026-02-04"]
    assert where["kind"]["registration_sha256"]
    assert document["provenance"]["command"] == f"raysweep report {a} {b} --out {out}"
    assert {f["facet"]["value"] for f in document["findings"] if f["facet"] and f["facet"]["kind"] == "run"} == {
        "gke", "kind", None,
    }  # fmt: skip
    page = (out / "report.html").read_text()
    for text in ("What these runs say", *ids, "Run by run", "2026-02-02 to 2026-02-04", "gke: all 144 trials ended"):
        assert text in page
    assert "{&#39;" not in page, "nested provenance is told in words"
    assert not (a / "report").exists(), "a merged report is nobody's own"
    assert told(b, a, "--out", tmp_path / "other")[0] == 0
    assert json.loads((tmp_path / "other" / "report.json").read_text())["findings"] == document["findings"]


def test_one_run_is_reported_into_its_own_folder_or_elsewhere(tmp_path, told):
    run = make_run(tmp_path / "r", truth(("m", 0.5)))
    code, said, _ = told(run)
    assert code == 0
    assert "runs, analysed together" not in said
    code, _, _ = told(run, "--out", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out" / "report.json").read_text() == (run / "report" / "report.json").read_text()


def test_what_differs_is_refused_naming_runs_field_and_values(tmp_path, told):
    a = make_run(tmp_path / "a", truth(("m", 0.5)))
    b = make_run(tmp_path / "b", truth(("m", 0.5)), seed=2, facts={"sandbox": "docker"}, environment={"kernel": "5.4"})
    code, out, err = told(a, b, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "a and b are not known to be alike in sandbox (kind of sandbox): local against docker" in err
    assert not (tmp_path / "out").exists()
    code, out, _ = told(a, b, "--out", tmp_path / "out", "--assume-comparable", "sandbox", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["provenance"]["assumed"] == ["sandbox (a: local / b: docker)"]
    assert document["provenance"]["noted"] == ["kernel (a: 6.1 / b: 5.4)"]
    assert document["provenance"]["command"].endswith("--assume-comparable sandbox")
    assert "assumed_comparable" in {c["code"] for c in document["checks"] if c["status"] == "warning"}
    other = make_run(tmp_path / "c", truth(("m", 0.5)), facts={"bands": ["1x", "3x", "9x"]})
    code, _, err = told(a, other, "--out", tmp_path / "out2")
    assert (code, "a and c differ in bands (names of the bands, in ascending order): 1x, 3x against" in err) == (
        2,
        True,
    )


def test_two_runs_are_calibrated_as_one(tmp_path, told):
    def limits(row):
        times, unit = float(row["band"].removesuffix("x")), {"cpu": 1000, "memory": 1024**3}
        return {f"limit_{r}_mult": times for r in unit} | {
            f"limit_{r}_{what}": int(times * one) for r, one in unit.items() for what in ("asked", "admitted")
        }

    runs = [make_run(tmp_path / n, truth(("m", 0.5)), seed=i, edit=limits) for i, n in enumerate("ab")]
    code, said, err = told(*runs, command="calibrate")
    assert (code, err) == (3, ""), said
    assert "2 runs are calibrated together: a, b" in said
    document = json.loads(told(*runs, "--json", command="calibrate")[1])
    assert document["runs"] == [json.loads((run / "run.json").read_text())["run_id"] for run in runs]
    assert set(document["provenance"]["runs"]) == {"a", "b"}
    assert document["provenance"]["command"] == f"raysweep calibrate {runs[0]} {runs[1]} --floor 1x --delta 2pp"
    fixed = [f["n_attempts"] for f in document["findings"] if f["reference"] == "1x" and f["estimand"] == "success"]
    assert set(fixed) == {2 * 144}, "trials of both runs"
    code, _, err = told(runs[0], "--assume-comparable", "sandbox", command="calibrate")
    assert (code, "one run has one methodology" in err) == (2, True)


def test_wrong_use_is_told(tmp_path, told):
    a, b = (make_run(tmp_path / n, truth(("m", 0.5)), seed=i) for i, n in enumerate("ab"))
    shutil.copytree(a, tmp_path / "copy")
    empty = make_run(tmp_path / "empty", truth(("m", 0.5)), keep=lambda row: False)
    out = ("--out", tmp_path / "out")
    for arguments, code, text in (
        ((a, b), 2, "several runs need a folder for their report; give one with --out DIR"),
        ((a, b, "--out", a), 2, "is a run directory"),
        ((a, tmp_path / "copy", *out), 2, "is the same run as a"),
        ((a, tmp_path / "b/../a", *out), 2, "is the same run as"),
        ((a, tmp_path, *out), 2, "not a run directory"),
        ((a, empty, *out), 3, "the ledger holds no attempt"),
        ((a, "--assume-comparable", "sandbox"), 2, "one run has one methodology"),
        ((a, b, *out, "--assume-comparable", "sandboxes"), 2, "did you mean sandbox?"),
        ((), 2, "RUN..."),
    ):
        ended, _, err = told(*arguments)
        assert (ended, text in err) == (code, True), err
    assert not (tmp_path / "out").exists()


def test_two_simulated_sweeps_end_to_end(tmp_path, told):
    """Models split over two sweeps that `raysweep run` made; the report by the command itself, in its own process."""
    runs = []
    for model in ("m", "k"):
        (tmp_path / model).mkdir()
        config = simulated(tmp_path / model, tasks=6, extra="buckets: {windows: {day: '00:00-24:00'}, dates: 2}\n")
        config.write_text(config.read_text().replace("name: m,", f"name: {model},"))
        runs.append(tmp_path / f"run-{model}")
        assert told(config, "--run-dir", runs[-1], command="run")[0] == 0
    done = raysweep("report", *runs, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {f["model"] for f in document["findings"] if f["estimand"] == "success" and f["arm"]} == {"m", "k"}
    alone = [json.loads(told(run, "--json")[1]) for run in runs]

    def numbers(found, model):
        return [
            (f["estimand"], f["arm"], f["reference"], f["value"], f["low"], f["high"], f["resampled_over"])
            for f in found["findings"]
            if f["model"] == model and f["estimand"] != "time_of_day_by_model"
        ]

    for model, one in zip(("m", "k"), alone, strict=True):
        expected = [n for n in numbers(one, model) if n[-1].startswith("tasks")]
        assert expected
        assert [n for n in numbers(document, model) if n[-1].startswith("tasks")] == expected
