"""The commands on a run in a bucket, as on a local one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raysweep.record.objectstore import ObjectStore
from raysweep.record.place import Remote, run_path
from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep as command

SWEEP = """\
name: bucket
tasks: {source: "synthetic:12", defaults: {cpus: 1, memory: 64Mi}}
models: [{name: m, agent: oracle}, {name: n, agent: oracle}]
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
repeats: 4
sandbox: {kind: simulated, truth: {success: 0.5, duration: [1s, 2s]}}
runner: {concurrency: 8, executor: inprocess}
"""


@pytest.fixture
def raysweep(tmp_path, s3_server):
    """Runs a command on tmp_path/sweep.yaml; gives (exit code, standard output, standard error)."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)

    def run(*arguments):
        done = command(*arguments, cwd=tmp_path, **s3_server.environment)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_sweep_is_run_gone_on_with_looked_at_and_reported(raysweep, bucket, tmp_path):
    code, out, err = raysweep("run", "sweep.yaml", "--run-dir", bucket, "--blocks", "10", "--json")
    assert (code, json.loads(out)["done"]) == (0, 40), err
    code, out, err = raysweep("run", "sweep.yaml", "--run-dir", bucket, "--json")
    assert code == 0, err
    assert "40 of 192 trials are done" in err
    told = json.loads(out)
    assert (told["done"], told["complete"], told["running"]) == (192, True, 0)
    assert json.loads(raysweep("status", bucket, "--json")[1]) == told
    code, out, err = raysweep("report", bucket)
    assert (code, f"report: {bucket}/report/report.html" in out) == (0, True), err
    store = ObjectStore(bucket)
    assert store.names("report") == ["report.html", "report.json"]
    assert json.loads(store.get("report/report.json"))["provenance"]["run"] == bucket
    code, out, err = raysweep("compare", bucket, "--models", "m", "n")
    assert code in {1, 3}, err
    code, out, err = raysweep("calibrate", bucket)
    assert code in {0, 1, 3}, err
    view = read_ledger(Remote(bucket))
    assert len(view.table) == 192
    assert store.names("ledger")[:2] == ["epoch-0001.json", "epoch-0002.json"]
    (tmp_path / "sweep.yaml").write_text(f"seed: 2\n{SWEEP}")
    assert raysweep("run", "sweep.yaml", "--run-dir", "here")[0] == 0
    code, out, err = raysweep("report", bucket, "here", "--out", f"{bucket}/merged", "--json")
    assert code == 0, err
    assert store.names("merged") == ["report.html", "report.json"]
    runs = json.loads(out)["provenance"]["runs"]
    assert {r["run"] for r in runs.values()} == {bucket, "here"}, "one in the bucket, one on this disk"


def test_another_sweep_and_foreign_objects_are_refused(raysweep, bucket, tmp_path):
    assert raysweep("run", "sweep.yaml", "--run-dir", bucket, "--blocks", "1")[0] == 0
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("repeats: 4", "repeats: 2"))
    code, _, err = raysweep("run", "sweep.yaml", "--run-dir", bucket)
    assert (code, "-repeats: 4" in err, bucket in err) == (2, True, True), err
    ObjectStore(f"{bucket}/other").put_new("mine.txt", b"x")
    code, _, err = raysweep("run", "sweep.yaml", "--run-dir", f"{bucket}/other")
    assert (code, "mine.txt" in err) == (2, True), err


def test_what_is_no_run_is_refused(raysweep, bucket):
    code, _, err = raysweep("status", f"{bucket}/nothing")
    assert (code, f"{bucket}/nothing: not a run directory" in err) == (2, True), err
    for place in ("s3://only-a-bucket", "ftp://x/y", "s3:///x"):
        code, _, err = raysweep("status", place)
        assert (code, "s3://BUCKET/PREFIX" in " ".join(err.replace("│", " ").split())) == (2, True), err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs/a", Path("runs/a")),
        ("/x:y", Path("/x:y")),
        ("s3://b/p/", Remote("s3://b/p")),
        ("gs://b/p/q", Remote("gs://b/p/q")),
    ],
)
def test_a_place_is_a_path_or_a_url(text, expected):
    assert run_path(text) == expected
    assert run_path(text).name == expected.name
