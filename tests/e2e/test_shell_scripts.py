"""Every shell script of the repository, the bundled tasks' too, as shellcheck sees it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("scripts", ".ci", "cluster", "raysweep", "tests", "benchmarks")
SHELL = re.compile(rb"#!\s*/\S*(\s+|/)(ba|da)?sh\b|#\s*shellcheck shell=")


def is_script(path):
    # in __pycache__ files come and go while other tests import
    if "__pycache__" in path.parts or path.suffix == ".py" or not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".sh" or SHELL.match(file.readline(200)) is not None


def test_no_shell_script_has_a_finding_of_shellcheck():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (apt install shellcheck)")
    scripts = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if is_script(p))
    told = {str(p.relative_to(ROOT)) for p in scripts}
    assert told >= {".ci/run", "scripts/environment", "scripts/gke-up", "cluster/image/build"}
    assert sum(name.startswith("raysweep/tasks/headroom/") for name in told) >= 40
    done = subprocess.run([shellcheck, "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
