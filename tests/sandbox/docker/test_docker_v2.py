"""Docker on a pure cgroup v2, as laptops have it: an engine of its own in user-mode Linux."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from raysweep.units import MIB

pytestmark = pytest.mark.docker
REPO = Path(__file__).resolve().parents[3]
GUEST = """\
mkdir -p /run/engine && mount -t tmpfs -o size=512m tmpfs /run/engine
cd {repo} || exit 1
export RAYSWEEP_DOCKERD_HOME=/run/engine PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1
engine=$(bash .ci/dockerd up) && eval "$engine" || exit 1
exec {python} tests/sandbox/docker/on_cgroup_v2.py
"""


@pytest.fixture
def told(tmp_path, engine_url):
    """What the guest's script printed."""
    uml_run = os.environ.get("RAYSWEEP_UML_RUN")
    if not uml_run or shutil.which("dockerd") is None:
        pytest.skip("needs RAYSWEEP_UML_RUN, a uml-run that boots a cgroup v2 Linux, and dockerd")
    script = tmp_path / "guest.sh"
    path = f"{REPO}:{sysconfig.get_path('purelib')}"
    script.write_text(GUEST.format(repo=REPO, path=path, python=sys.executable))
    environment = {**os.environ, "UML_MEM": "1200M", "UML_OVERLAY": "1", "UML_TIMEOUT": "1200"}
    command = [uml_run, str(tmp_path / "guest"), "bash", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_limits_kills_and_proofs_on_cgroup_v2(told):
    capabilities = told["capabilities"]
    assert {capabilities[name] for name in ("memory", "cpu", "pids")} == {"enforced"}
    assert (capabilities["cgroup"], capabilities["oom"], capabilities["network_isolation"]) == (2, "process", True)
    assert told["limit"] == told["limit_at_end"] == {"cpu": 1000, "memory": 64 * MIB, "storage": None}
    assert told["hog"]["signal"] == 9
    assert told["oom_killed"] is False
    assert told["after"]["exit"] == 0
    assert told["agent"]["oom_kills"] == 1
    assert told["agent"]["own_limit_ooms"] == 1, "memory.events.local proves whose limit it was"
    assert told["platform"] is None
    assert told["left"] == 0
