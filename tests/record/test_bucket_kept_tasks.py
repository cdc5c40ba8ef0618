"""A run in a bucket keeps its tasks there, and begins again from there alone."""

from __future__ import annotations

import shutil

from raysweep.record.kept import kept_digests
from raysweep.record.objectstore import ObjectStore
from raysweep.record.place import run_path
from raysweep.study.frozen import kept_tasks
from raysweep.tasks.folder import folder_digest
from support.cli_runs import raysweep as command
from support.task_folders import make_task

SWEEP = """\
name: kept
seed: 7
tasks: {source: tasks}
models: [{name: m, agent: nop}]
bands: [{name: 1x, request: 1.0, limit: 1.0}, {name: uncapped, request: 1.0, limit: none}]
reference: 1x
repeats: 3
sandbox: {kind: simulated, truth: {success: 0.5}}
runner: {concurrency: 1, executor: inprocess}
"""


def test_resumed_and_reproduced_from_the_bucket_alone(tmp_path, bucket, s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAYSWEEP_SCRATCH", str(tmp_path / "scratch"))
    folder = tmp_path / "study"
    for name in ("one", "two"):
        make_task(folder / "tasks", name)
    (folder / "sweep.yaml").write_text(SWEEP)
    run = ("run", folder / "sweep.yaml", "--run-dir", bucket)
    done = command(*run, "--blocks", "2")
    assert done.returncode == 0, done.stderr
    assert kept_digests(ObjectStore(bucket)) == {folder_digest(path) for path in (folder / "tasks").iterdir()}
    (folder / "tasks" / "one" / "tests" / "test.sh").write_text("#!/bin/sh\necho 0 > /logs/verifier/reward.txt\n")
    done = command(*run)
    assert done.returncode == 2
    assert "task one was edited since this run began (tests/test.sh)" in done.stderr
    for gone in (folder, tmp_path / "scratch"):
        shutil.rmtree(gone)
    done = command("run", f"{bucket}/sweep.yaml", "--run-dir", bucket)
    assert done.returncode == 0, done.stderr
    done = command("run", f"{bucket}/sweep.yaml", "--run-dir", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert kept_tasks(tmp_path / "new").digests == kept_tasks(run_path(bucket)).digests
