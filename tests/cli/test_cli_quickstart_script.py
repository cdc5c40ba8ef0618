"""Which sandboxes scripts/quickstart takes, on machines that cannot be had here: its own commands answer for them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAYSWEEP = """\
#!/bin/sh
echo "$*" >> "$PWD/calls"
case "$*" in
  "doctor --config configs/quickstart.yaml") exit $LOCAL ;;
  "doctor --config configs/docker-quickstart.yaml") exit $DOCKER ;;
  run*) exit $RUN ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose environment is made already, with a raysweep that does what it is told."""
    (tmp_path / "scripts").mkdir()
    for name in ("quickstart", "environment"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    program = tmp_path / ".venv/bin/raysweep"
    program.parent.mkdir(parents=True)
    program.write_text(RAYSWEEP)
    program.chmod(0o755)
    stamp = "cat requirements.txt pyproject.toml scripts/environment | cksum > .venv/.raysweep-runtime"
    subprocess.run(["sh", "-c", stamp], cwd=tmp_path, check=True)
    return tmp_path


def quickstart(checkout, *arguments, local, docker, run=0):
    environment = {**os.environ, "LOCAL": str(local), "DOCKER": str(docker), "RUN": str(run), "RAYSWEEP_IN_SCOPE": "1"}
    done = subprocess.run(
        ["bash", "scripts/quickstart", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    calls = (checkout / "calls").read_text().splitlines()
    return done, [call for call in calls if not call.startswith("doctor")]


def test_local_where_it_enforces(checkout):
    done, calls = quickstart(checkout, local=0, docker=0)
    assert done.returncode == 0, done.stderr
    assert calls == ["run configs/quickstart.yaml --run-dir runs/quickstart", "report runs/quickstart"]


def test_docker_where_local_does_not(checkout):
    done, calls = quickstart(checkout, local=4, docker=0)
    assert done.returncode == 0, done.stderr
    assert calls == ["run configs/docker-quickstart.yaml --run-dir runs/quickstart", "report runs/quickstart"]


def test_the_remedies_and_4_where_neither_does(checkout):
    done, calls = quickstart(checkout, local=4, docker=4)
    assert done.returncode == 4
    assert "neither local nor docker" in done.stderr
    assert calls == []


@pytest.mark.parametrize(("code", "reported"), [(3, True), (70, False)])
def test_an_incomplete_sweep_is_still_reported_and_its_code_kept(checkout, code, reported):
    done, calls = quickstart(checkout, local=0, docker=0, run=code)
    assert done.returncode == code
    assert any(call.startswith("report") for call in calls) is reported


def test_help_needs_no_environment(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "quickstart", tmp_path / "scripts" / "quickstart")
    done = subprocess.run(
        ["bash", "scripts/quickstart", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scripts/quickstart [RUN_DIR]")
    assert not (tmp_path / ".venv").exists()


def test_an_unknown_option_is_refused_and_starts_nothing(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "quickstart", tmp_path / "scripts" / "quickstart")
    done = subprocess.run(
        ["bash", "scripts/quickstart", "--fast"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: unknown option --fast; scripts/quickstart --help shows the usage\n",
    )
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("code", [0, 3])
def test_the_code_of_a_silent_installation_is_kept_and_progress_ends_with_it(tmp_path, code):
    (tmp_path / ".venv").mkdir()
    silent = f"until grep -q 'installing packages: .venv has' told; do command sleep 0.1; done; exit {code}"
    script = (
        f'. "{ROOT}/scripts/environment"; sleep() {{ command sleep 0.05; }}; with_progress sh -c "{silent}" 2> told'
    )
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, check=False, timeout=300)
    assert done.returncode == code


def test_models_runs_its_own_sweep_beside_a_model_server(checkout):
    (checkout / "requirements-models.txt").write_text("")
    stamp = "cat requirements-models.txt pyproject.toml scripts/environment | cksum > .venv/.raysweep-models"
    subprocess.run(["sh", "-c", stamp], cwd=checkout, check=True)
    python = checkout / ".venv/bin/python"
    python.write_text("#!/bin/sh\necho http://127.0.0.1:8000\nexec sleep 600\n")
    python.chmod(0o755)
    done, calls = quickstart(checkout, "--models", local=0, docker=0)
    assert done.returncode == 0, done.stderr
    assert "it answers on http://127.0.0.1:8000" in done.stderr
    assert calls == ["run configs/models.yaml --run-dir runs/models", "report runs/models"]


def test_models_ends_where_its_server_does_not_start(checkout):
    test_models_runs_its_own_sweep_beside_a_model_server(checkout)
    (checkout / "calls").write_text("")
    (checkout / ".venv/bin/python").write_text("#!/bin/sh\necho no port >&2\nexit 1\n")
    done, calls = quickstart(checkout, "--models", local=0, docker=0)
    assert done.returncode == 4
    assert "the model server did not start" in done.stderr
    assert calls == []
