"""Images as people build them, and images that cannot be had: known before the first trial, not in each of them.

What ran before: images with a USER scored 0 as `agent_error`, and a Dockerfile that fails gave a platform failure in
every attempt, again and again.
"""

from __future__ import annotations

import os

import pytest
from test_odd_tasks import LOCAL, LOOK, SWEEP, TOML, make, raysweep

from raysweep.record.reader import read_ledger

pytestmark = [pytest.mark.e2e, pytest.mark.docker]
AGENTS = "[{name: m, agent: scripted, strategy: s}, {name: o, agent: oracle}, {name: n, agent: nop}]"


@pytest.fixture
def base(sandbox_of_docker):
    """The first line of Dockerfiles."""
    del sandbox_of_docker
    return f"FROM {os.environ['RAYSWEEP_DOCKER_TEST_IMAGE']}\n"


def write_sweep(root, sandbox, models=""):
    text = SWEEP.replace(LOCAL, sandbox)
    (root / "sweep.yaml").write_text(text.replace("[{name: m, agent: scripted, strategy: s}]", models or AGENTS))


def test_an_image_with_a_user_and_an_odd_workdir_works(tmp_path, sandbox_of_docker, base):
    dockerfile = f"{base}RUN mkdir -p /srv/place && chown 1000 /srv/place\nUSER 1000:1000\nWORKDIR /srv/place\n"
    work = "#!/bin/sh\n[ $(pwd) = /srv/place ] && echo done > out\n"
    files = {"environment/Dockerfile": dockerfile, "solution/solve.sh": work}
    make(tmp_path, "user1000", LOOK.replace("/app/", "/srv/place/"), work, files)
    write_sweep(tmp_path, sandbox_of_docker)
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read_ledger(tmp_path / "run").table.to_pylist()
    ends = {(row["model"], row["outcome"], row["reward"]) for row in rows}
    assert ends == {("m", "scored", 1.0), ("o", "scored", 1.0), ("n", "scored", 0.0)}


def test_a_build_that_fails_ends_the_run_before_it_begins_with_its_last_lines(tmp_path, sandbox_of_docker, base):
    dockerfile = f"{base}RUN echo some last words; exit 3\n"
    make(tmp_path, "bad", files={"environment/Dockerfile": dockerfile})
    make(tmp_path, "good")
    write_sweep(tmp_path, sandbox_of_docker, "[{name: m, agent: scripted, strategy: s}]")
    command = ("run", "sweep.yaml", "--run-dir", "run")
    done = raysweep(*command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "task bad: the build failed" in done.stderr
    assert "some last words" in done.stderr
    assert str(tmp_path / "tasks" / "bad" / "environment" / "Dockerfile") in done.stderr
    assert not (tmp_path / "run").exists()
    (tmp_path / "tasks" / "bad" / "environment" / "Dockerfile").write_text(f"{base}RUN true\n")
    done = raysweep(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["reward"] for row in read_ledger(tmp_path / "run").table.to_pylist()} == {1.0}


def test_an_image_without_a_shell_is_refused_with_the_reason(tmp_path, sandbox_of_docker):
    files = {"environment/Dockerfile": "FROM scratch\nCOPY data /data\n", "environment/data": "x"}
    make(tmp_path, "bare", files=files)
    write_sweep(tmp_path, sandbox_of_docker, "[{name: m, agent: scripted, strategy: s}]")
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "task bare: its image has no /bin/sh" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_image_that_cannot_be_had_is_told_before_the_first_trial(tmp_path, sandbox_of_docker):
    toml = TOML.replace("cpus = 1", 'docker_image = "raysweep.invalid/nobody/nothing:1"\ncpus = 1')
    make(tmp_path, "absent", files={"task.toml": toml})
    write_sweep(tmp_path, sandbox_of_docker, "[{name: m, agent: scripted, strategy: s}]")
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "raysweep.invalid/nobody/nothing:1" in done.stderr
    assert not (tmp_path / "run").exists()
