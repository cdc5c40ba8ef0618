"""Tasks that are edited, deleted or moved while a run lives: the run keeps what it began with.

What ran before: attempts of one run judged by two versions of a test, under one digest, without a word.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import raysweep
from raysweep.errors import InputError
from raysweep.record.kept import FOLDER
from raysweep.record.reader import read_ledger
from raysweep.study.frozen import kept_tasks
from raysweep.tasks.copies import TaskCopies
from raysweep.tasks.folder import folder_digest
from support.cli_runs import PATIENCE_S
from support.cli_runs import raysweep as command
from support.task_folders import make_task

KILLED_AT = str(Path(__file__).parents[1] / "cli" / "killed_at.py")
SWEEP = """\
name: edited
seed: 7
tasks: {{source: tasks}}
models: [{{name: m, agent: scripted, strategy: s}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: 3
sandbox: {sandbox}
runner: {{concurrency: 1, executor: {executor}}}
probes: {{enabled: false}}
"""
SIMULATED = "{kind: simulated, truth: {success: 0.5}}"
EDITS = ("#!/bin/sh\necho 0 > /logs/verifier/reward.txt\n", "#!/bin/sh\necho no reward at all\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study of two tasks, in a folder of its own, with a cache of its own."""
    monkeypatch.setenv("RAYSWEEP_SCRATCH", str(tmp_path / "scratch"))
    root = tmp_path / "study"
    strategy = {"strategies/s/run.sh": "#!/bin/sh\necho done > /app/out\n"}
    for name in ("one", "two"):
        make_task(root / "tasks", name, files=strategy)
    write_sweep(root)
    return root


def write_sweep(root: Path, sandbox: str = SIMULATED, executor: str = "inprocess") -> None:
    (root / "sweep.yaml").write_text(SWEEP.format(sandbox=sandbox, executor=executor))


def edit_tests(root: Path, text: str) -> None:
    for test in (root / "tasks").glob("*/tests/test.sh"):
        test.write_text(text)


def edited_twice(root: Path, sandbox: str, executor: str) -> list[dict]:
    """The rows of a sweep whose tests are edited after its first trial and after its fourth."""
    write_sweep(root, sandbox, executor)
    edits = dict(zip((1, 4), EDITS, strict=True))

    def progress(now: raysweep.Progress) -> None:
        if (text := edits.pop(now.finished, None)) is not None:
            edit_tests(root, text)

    done = raysweep.run(raysweep.load(root / "sweep.yaml"), root / "run", progress=progress)
    assert done.status().complete
    assert not edits, "both edits were made while the sweep ran"
    return read_ledger(root / "run").table.to_pylist()


def one_behaviour(rows: list[dict]) -> bool:
    assert len(rows) == 12
    assert {row["reward"] for row in rows} == {1.0}
    return len({(row["task"], row["task_digest"]) for row in rows}) == 2


@pytest.mark.sandbox
def test_edits_while_a_sweep_runs_change_nothing(needs_local, folder, monkeypatch):
    monkeypatch.setenv("RAYSWEEP_SCRATCH", str(needs_local))
    assert one_behaviour(edited_twice(folder, "{kind: local, pids: 64}", "inprocess"))


@pytest.mark.sandbox
@pytest.mark.ray
def test_edits_while_a_sweep_runs_change_nothing_in_runners_of_ray(needs_local, folder, monkeypatch, embedded_ray):
    del embedded_ray
    monkeypatch.setenv("RAYSWEEP_SCRATCH", str(needs_local))
    assert one_behaviour(edited_twice(folder, "{kind: local, pids: 64}", "ray"))


@pytest.mark.docker
def test_edits_while_a_sweep_runs_change_nothing_in_containers(sandbox_of_docker, folder):
    assert one_behaviour(edited_twice(folder, sandbox_of_docker, "inprocess"))


@pytest.mark.cluster
def test_edits_while_a_sweep_runs_change_nothing_in_pods(sandbox_of_pods, folder):
    assert one_behaviour(edited_twice(folder, sandbox_of_pods, "inprocess"))


@pytest.mark.ray
def test_runners_on_other_nodes_get_tasks_without_a_path_of_ours(folder, tmp_path, embedded_ray):
    """Ray's object store brings the archives: nothing of the run directory is there when they are asked for."""
    from raysweep.schedule.ray_tasks import InObjectStore

    assert command("run", folder / "sweep.yaml", "--run-dir", folder / "run", "--blocks", "1").returncode == 0
    kept = kept_tasks(folder / "run")
    shipped = InObjectStore(kept)
    shutil.rmtree(folder)

    @embedded_ray.remote
    def unpacked(fetch, root):
        return {digest: folder_digest(TaskCopies(fetch, root).folder(digest)) for digest in kept.digests}

    assert embedded_ray.get(unpacked.remote(shipped, tmp_path / "node")) == {d: d for d in kept.digests}


def begin(folder: Path) -> tuple:
    """The command of a run that has begun."""
    run = ("run", folder / "sweep.yaml", "--run-dir", folder / "run")
    done = command(*run, "--blocks", "2")
    assert done.returncode == 0, done.stderr
    return run


def test_a_resume_that_meets_edited_tasks_names_task_and_file_and_how_to_resume(folder):
    run = begin(folder)
    edit_tests(folder, EDITS[0])
    (folder / "tasks" / "two" / "instruction.md").unlink()
    done = command(*run)
    assert done.returncode == 2
    assert "task one was edited since this run began (tests/test.sh)" in done.stderr
    assert "task two was edited since this run began (instruction.md, tests/test.sh)" in done.stderr
    assert str(folder / "tasks" / "one" / "tests" / "test.sh") in done.stderr
    (folder / "tasks" / "two" / "instruction.md").write_text("Another.\n")
    with pytest.raises(InputError, match="task one was edited"):
        raysweep.run(raysweep.load(folder / "sweep.yaml"), folder / "run")
    suggested = f"raysweep run {folder / 'run' / 'sweep.yaml'} --run-dir {folder / 'run'}"
    assert suggested in done.stderr
    done = command(*suggested.split()[1:])
    assert done.returncode == 0, done.stderr
    assert raysweep.open_run(folder / "run").status().complete


def test_a_resume_names_tasks_that_came_or_went(folder):
    run = begin(folder)
    shutil.move(folder / "tasks" / "two", folder / "tasks" / "three")
    done = command(*run)
    assert done.returncode == 2
    assert "task two of this run is gone from its source" in done.stderr
    assert "task three is not one of this run's tasks" in done.stderr


def test_what_editors_and_file_managers_leave_is_no_change(folder):
    run = begin(folder)
    for name in (".DS_Store", "tests/.test.sh.swp", "tests/test.sh~", ".idea/workspace.xml"):
        (folder / "tasks" / "one" / name).parent.mkdir(exist_ok=True)
        (folder / "tasks" / "one" / name).write_text("x")
    done = command(*run)
    assert done.returncode == 0, done.stderr
    assert raysweep.open_run(folder / "run").status().complete


def test_a_run_directory_alone_resumes_and_reproduces_on_another_machine(folder, tmp_path):
    begin(folder)
    there = tmp_path / "elsewhere" / "run"
    shutil.copytree(folder / "run", there)
    for gone in (folder, tmp_path / "scratch"):
        shutil.rmtree(gone)
    done = command("run", there / "sweep.yaml", "--run-dir", there)
    assert done.returncode == 0, done.stderr
    report = raysweep.open_run(there).report()
    assert report.is_file()
    printed = f"raysweep run {there / 'sweep.yaml'} --run-dir NEW &amp;&amp; raysweep report NEW"
    assert printed in report.read_text()
    new = tmp_path / "new"
    done = command("run", there / "sweep.yaml", "--run-dir", new)
    assert done.returncode == 0, done.stderr
    before, after = (read_ledger(path).table for path in (there, new))
    assert sorted(after["task_digest"].to_pylist()) == sorted(before["task_digest"].to_pylist())
    assert kept_tasks(new).digests == kept_tasks(there).digests


def test_the_original_sweep_resumes_where_its_tasks_are_gone(folder):
    run = begin(folder)
    shutil.rmtree(folder / "tasks")
    done = command(*run)
    assert done.returncode == 0, done.stderr
    assert "the tasks that" in done.stderr
    assert raysweep.open_run(folder / "run").status().complete


def test_a_run_of_an_older_version_resumes_from_the_source_and_says_so(folder):
    run = begin(folder)
    shutil.rmtree(folder / "run" / FOLDER)
    done = command(*run)
    assert done.returncode == 0, done.stderr
    assert "keeps no tasks; they are read from tasks" in done.stderr
    assert raysweep.open_run(folder / "run").status().complete


@pytest.mark.parametrize("number", [1, 2])
def test_a_driver_killed_while_it_keeps_the_tasks_is_followed_by_the_same_command(folder, number):
    run = ("run", folder / "sweep.yaml", "--run-dir", folder / "run")
    killed = [sys.executable, KILLED_AT, ".tar.gz", str(number), *map(str, run)]
    assert subprocess.run(killed, capture_output=True, timeout=PATIENCE_S, check=False).returncode == -signal.SIGKILL
    assert not (folder / "run" / "run.json").exists()
    edit_tests(folder, "#!/bin/sh\necho 1 > /logs/verifier/reward.txt # edited before the run began\n")
    done = command(*run)
    assert done.returncode == 0, done.stderr
    planned = {row["task_digest"] for row in read_ledger(folder / "run").planned.to_pylist()}
    assert planned == {folder_digest(path) for path in (folder / "tasks").iterdir()}
    assert planned <= kept_tasks(folder / "run").digests


def test_a_damaged_copy_ends_the_run_with_its_name(folder, tmp_path):
    run = begin(folder)
    for archive in (folder / "run" / FOLDER).iterdir():
        archive.write_bytes(archive.read_bytes()[:-40])
    shutil.rmtree(tmp_path / "scratch")
    done = command(*run)
    assert done.returncode == 2
    assert "the kept copy of a task is damaged" in done.stderr
    assert "Traceback" not in done.stderr
