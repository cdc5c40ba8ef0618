"""The conformance suite of local sandboxes as an ordinary user, and on cgroup v2 as root and as an ordinary user."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox
REPO = Path(__file__).resolve().parents[2]
SUITE = "tests/sandbox/test_local_conformance.py"
NOBODY = 65534
CASES = 43  # a smaller number would mean that cases got lost on the way into the other process
MUST_RUN = "CI" in os.environ or "RAYSWEEP_REQUIRE" in os.environ


def cannot(reason):
    """Skip with the reason; in CI, where none of these may be skipped, fail with it."""
    if MUST_RUN:
        pytest.fail(reason)
    pytest.skip(reason)


def open_to_everyone(path):
    """Whether any user may reach and read `path`."""
    real = Path(path).resolve()
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in real.parents) and real.stat().st_mode & stat.S_IROTH


def users_python():
    """A Python that an ordinary user may start: this one, else the system's (this one may lie in /root)."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        if Path(candidate).exists() and open_to_everyone(candidate):
            return str(Path(candidate).resolve()) if candidate == sys.executable else candidate
    return cannot("no Python here that an ordinary user could start")


def python_path():
    """What an ordinary user's Python needs to import: this checkout and the installed packages."""
    paths = [REPO, Path(sysconfig.get_path("purelib"))]
    for path in paths:
        if not open_to_everyone(path):
            cannot(f"{path} cannot be read by an ordinary user")
    return ":".join(map(str, paths))


def passed_counts(output):
    """Numbers of passed cases in pytest's summaries; nothing may be failed, skipped or missing."""
    assert not re.search(r"\d+ (failed|skipped|error)", output), output
    return [int(number) for number in re.findall(r"(\d+) passed", output)]


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        cannot("handing over a cgroup needs root")


def test_as_an_ordinary_user_on_a_handed_over_cgroup(as_root, tmp_path):
    home = Path(f"/var/tmp/raysweep-user-{os.getpid()}")  # tmp_path is closed to other users
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "RAYSWEEP_REQUIRE": "1"}
    env |= {"PYTHONPATH": python_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    python = users_python()
    command = [sys.executable, "scripts/with-handed-over-cgroup", str(NOBODY), str(home / "scratch"), python]
    try:
        suite = [*command, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE]
        with subprocess.Popen(
            suite, cwd=REPO, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as script:
            output, errors = script.communicate()
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)
    assert script.returncode == 0, output + errors
    assert passed_counts(output) == [CASES]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/handed-raysweep-{script.pid}"))


def test_on_cgroup_v2_as_root_and_as_an_ordinary_user(as_root, tmp_path):
    uml_run = os.environ.get("RAYSWEEP_UML_RUN")
    if not uml_run:
        cannot("RAYSWEEP_UML_RUN does not name a uml-run that boots a cgroup v2 Linux")
    env = {"UML_TIMEOUT": "3600", **os.environ, "PYTHONPATH": python_path()}
    command = ["scripts/uml-conformance", uml_run, str(tmp_path), sys.executable, users_python()]
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert passed_counts(done.stdout) == [CASES, CASES]
    assert "cgroups left: 0" in done.stdout
