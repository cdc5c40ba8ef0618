"""`raysweep init`: what it writes passes `raysweep check`, nothing is overwritten, and the wheel has what it copies."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from raysweep.cli.check import check_command
from raysweep.cli.init import init_command
from raysweep.config import load
from raysweep.config.starter import shipped
from raysweep.errors import InputError
from raysweep.kind import kind_names
from support.cli_runs import raysweep
from support.task_folders import make_task

ROOT = Path(__file__).parents[2]


def init(folder, *, kind=None, tasks=None, copy=None):
    init_command(folder, kind, tasks, copy, as_json=False)
    return folder / "sweep.yaml"


@pytest.mark.parametrize("kind", kind_names())
def test_the_sweep_of_each_kind_passes_check(kind, tmp_path):
    path = init(tmp_path / "my study", kind=kind)
    check_command(path, as_json=False)
    sweep = load(path)
    assert (sweep.name, sweep.sandbox.kind, sweep.registered) == ("my-study", kind, True)
    comments = [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")]
    assert len(comments) > 10


def test_the_simulated_one_runs(tmp_path):
    path = init(tmp_path, kind="simulated")
    done = raysweep("run", path, "--run-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("files", "agent"),
    [({"solution/solve.sh": "#!/bin/sh\ntrue\n"}, "oracle"), ({}, "nop")],
    ids=["solved", "unsolved"],
)
def test_a_folder_of_tasks_is_named_relative_to_the_new_file(files, agent, tmp_path, monkeypatch):
    make_task(tmp_path / "tasks", "mine", files=files)
    monkeypatch.chdir(tmp_path)
    path = init(Path("studies/one"), tasks="tasks")
    sweep = load(path)
    assert (sweep.tasks.source, [m.agent for m in sweep.models]) == ("../../tasks", [agent])
    check_command(path, as_json=False)


def test_nothing_is_overwritten(tmp_path):
    path = init(tmp_path)
    path.write_text("mine")
    with pytest.raises(InputError, match="there is a sweep already"):
        init(tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "dockr"}, "did you mean `docker`"),
        ({"copy": "quickstrat"}, "did you mean `quickstart`"),
        ({"copy": "quickstart", "kind": "local"}, "drop --sandbox and --tasks"),
        ({"tasks": "nowhere"}, "is not a folder"),
        ({"tasks": "synthetic:3", "kind": "docker"}, "sweep.yaml"),
    ],
    ids=["kind", "name", "both", "tasks", "synthetic"],
)
def test_what_gives_no_valid_sweep_is_refused_and_nothing_is_written(options, said, tmp_path):
    with pytest.raises(InputError) as caught:
        init(tmp_path / "new", **options)
    assert said in str(caught.value)
    assert not (tmp_path / "new" / "sweep.yaml").exists()


@pytest.mark.parametrize("name", sorted({*shipped()} - {"simulated-full"}))  # whose plan takes half a minute
def test_a_shipped_sweep_is_copied_as_it_is(name, tmp_path):
    assert init(tmp_path, copy=name).read_bytes() == (ROOT / "configs" / f"{name}.yaml").read_bytes()


def test_the_command_says_what_comes_next_and_refuses_the_second_time(tmp_path):
    done = raysweep("init", tmp_path / "x", "--sandbox", "docker")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"raysweep check {tmp_path / 'x' / 'sweep.yaml'}" in done.stdout
    assert raysweep("init", tmp_path / "x").returncode == 2


def test_the_wheel_holds_the_shipped_sweeps_and_the_bundled_tasks(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    configs = {f"raysweep/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert configs == {name for name in names if name.startswith("raysweep/configs/")}
    assert any(name.startswith("raysweep/tasks/headroom/") and name.endswith("task.toml") for name in names)
    assert "raysweep/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]
    program = "from raysweep.config.starter import shipped; print(shipped()['quickstart'])"
    env = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "installed/raysweep/configs/quickstart.yaml")
