"""Places for the supervisor's tests: it runs as a true process 1, which needs root and unshare."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.supervisor_client import PROGRAM, place

NOBODY = 54321
"""A user that owns no process of this machine, so that a limit on its processes means what it says."""


@pytest.fixture(scope="session")
def needs_unshare():
    """Skip where no PID namespace can be made."""
    command = ("unshare", "--pid", "--fork", "--mount-proc", "true")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no unshare here: {error}")
    if done.returncode:
        pytest.skip(f"no PID namespaces here: {done.stderr.strip()}")


@pytest.fixture
def running(needs_unshare, tmp_path):
    """A supervisor of this test's own."""
    with place(tmp_path / "spool") as made:
        yield made


@pytest.fixture
def client(running):
    return running.client()


@pytest.fixture(scope="module")
def shared(needs_unshare, tmp_path_factory):
    """One supervisor for a module, for tests that leave nothing behind; with a folder that both sides see."""
    folder = tmp_path_factory.mktemp("shared")
    with place(folder / "spool") as made:
        yield made, folder


@pytest.fixture
def open_folder():
    """A folder that every user reaches."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="raysweep-supervisor-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def without_root(needs_unshare, open_folder):
    """A supervisor whose user is not root and may have six processes."""
    program = open_folder / "supervisor"
    shutil.copy(PROGRAM, program)
    program.chmod(0o755)
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "prlimit", "--nproc=6:6")
    with place(open_folder / "spool", wrap=user, program=program) as made:
        yield made
