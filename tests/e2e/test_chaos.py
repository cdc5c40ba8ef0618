"""The short form of benchmarks/chaos.py: each process that a sweep rests on is killed once; nothing is lost by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("needs_local")]

CHAOS = Path(__file__).parents[2] / "benchmarks" / "chaos.py"
SEED = 2
"""In both parts the last kill leaves work to be done, however long the earlier ones took: the store's is last."""


@pytest.mark.parametrize("part", [("--trials", "1000", "--local", "0"), ("--trials", "0", "--local", "36")])
def test_killed_sweeps_end_as_undisturbed_ones(part):
    command = [sys.executable, str(CHAOS), "--seed", str(SEED), "--kills", "1", *part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told = done.stdout.splitlines()
    wrong = "0 lost, 0 duplicated, 0 misattributed, 0 other final outcomes, 0 other findings, 0 left behind"
    assert [line.strip() for line in told if " lost, " in line] == [wrong]
    assert told[-1] == "all of it holds"
