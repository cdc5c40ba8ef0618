"""supervised_on_v2.py on a Linux with cgroup v2, whatever this machine has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox
REPO = Path(__file__).resolve().parents[3]
CASES = 18  # a smaller number would mean that cases got lost on the way into the other process


def test_memory_bounds_and_group_kills_on_cgroup_v2(needs_process, tmp_path):
    uml_run = os.environ.get("RAYSWEEP_UML_RUN")
    if not uml_run:
        pytest.skip("RAYSWEEP_UML_RUN does not name a uml-run that boots a cgroup v2 Linux")
    env = {"UML_TIMEOUT": "3600", **os.environ, "PYTHONPATH": f"{REPO}:{sysconfig.get_path('purelib')}"}
    suite = "tests/sandbox/supervised/supervised_on_v2.py"
    command = ["scripts/uml-pytest", uml_run, str(tmp_path), sys.executable, suite]
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"\d+ (failed|skipped|error)", done.stdout), done.stdout
    assert [int(number) for number in re.findall(r"(\d+) passed", done.stdout)] == [CASES]
