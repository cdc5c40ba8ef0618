"""The installed command ends with the code of its command, whatever happens while the interpreter is taken apart."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from raysweep.cli import process

# An object that aborts the process once the interpreter takes its modules apart, as a thread of Arrow's may.
ENDS = """
import atexit, os, sys
from raysweep.cli import process

class Aborts:
    abort = os.abort
    def __del__(self):
        self.abort()

aborts = Aborts()

def main():
    atexit.register(print, "said at exit")
    print("x" * 100_000)
    sys.exit({code})

process.main = main
process.run()
"""


def ended(code: str, **streams) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ENDS.format(code=code)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(command, text=True, check=False, **streams)


def test_the_installed_command_is_this_one():
    (script,) = entry_points(group="console_scripts", name="raysweep")
    assert script.load() is process.run


@pytest.mark.parametrize("code", [0, 2, 3, 130])
def test_what_happens_after_the_end_does_not_change_the_code(code):
    done = ended(str(code))
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == "x" * 100_000 + "\nsaid at exit\n"


def test_without_a_code_of_the_command_python_ends_as_ever():
    done = ended("'a message'")
    assert done.returncode == -6
    assert done.stderr.startswith("a message\n")


def test_a_reader_that_went_away_is_not_taken_for_success():
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as gone:
        gone.wait()
        done = ended("0", stdout=gone.stdin)
    assert done.returncode != 0
    assert "BrokenPipeError" in done.stderr
