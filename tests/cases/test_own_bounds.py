"""Whose doing it was when a phase failed at a bound of its arm: real limits, through the real command line.

What ran before: set-ups and tests that the swept limit ended were booked as the platform's and retried, and contrasts
of +50 points came out as 0.
"""

from __future__ import annotations

import json

import pytest
from test_odd_tasks import DONE, LOCAL, LOOK, SWEEP, TOML, make

from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep

pytestmark = pytest.mark.e2e
WORKER = "block = bytearray(150 << 20)\nfor i in range(0, len(block), 4096):\n    block[i] = 1\n"
PARENT = (
    "import subprocess, sys\n"
    "done = subprocess.run([sys.executable, sys.argv[1]])\n"
    "if done.returncode:\n    print(f'the worker failed with status {done.returncode}', file=sys.stderr); sys.exit(1)\n"
)
BURN = "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 1:\n    pass\n"
TIGHT = TOML.replace("cpus = 1", "cpus = 0.1").replace(
    "[verifier]\ntimeout_sec = 20.0", "[verifier]\ntimeout_sec = 8.0"
)
SLOW = TIGHT.replace("build_timeout_sec = 20", "build_timeout_sec = 8")


@pytest.fixture(scope="module")
def sweep(sandbox_section, tmp_path_factory):
    """The run directory of one sweep over all tasks of this module."""
    root = tmp_path_factory.mktemp("bounds")
    setup = {
        "environment/setup.sh": "#!/bin/sh\nexec python3 /app/parent.py /app/worker.py\n",
        "environment/parent.py": PARENT,
        "environment/worker.py": WORKER,
    }
    for number in (1, 2, 3):
        make(root, f"setup-worker-{number}", files=setup)
        make(root, f"light-{number}")
    make(root, "slow-tests", f"python3 /tests/burn.py\n{LOOK}", files={"task.toml": TIGHT, "tests/burn.py": BURN})
    burn = "#!/bin/sh\nexec python3 /app/burn.py\n"
    slow = {"task.toml": SLOW, "environment/setup.sh": burn, "environment/burn.py": BURN}
    make(root, "slow-setup", files=slow)
    harness = "#!/bin/sh\n{before}exec python3 /strategy/parent.py /strategy/worker.py\n"
    files = {"strategies/s/parent.py": PARENT, "strategies/s/worker.py": WORKER + "open('/app/out', 'w').write('x')\n"}
    make(root, "agent-worker", agent=harness.format(before=""), files=files)
    make(root, "agent-worker-done", agent=harness.format(before="echo done > /app/out\n"), files=files)
    make(root, "tests-worker", f"python3 /tests/worker.py && {LOOK}", DONE, {"tests/worker.py": WORKER})
    (root / "sweep.yaml").write_text(SWEEP.replace(LOCAL, sandbox_section))
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def ends(sweep):
    """{(task, band): [(outcome, cause, cause_class, phase, reward)]}, every attempt."""
    rows = read_ledger(sweep / "run").table.to_pylist()
    found: dict[tuple[str, str], list[tuple]] = {}
    for row in rows:
        end = tuple(row[name] for name in ("outcome", "cause", "cause_class", "phase", "reward"))
        found.setdefault((row["task"], row["band"]), []).append(end)
    return found


@pytest.mark.parametrize(
    ("task", "cause", "phase"),
    [
        ("setup-worker-1", "oom_limit", "setup"),
        ("slow-setup", "cpu_limit", "setup"),
        ("slow-tests", "cpu_limit", "verifier"),
        ("agent-worker", "oom_limit", "agent"),
        ("tests-worker", "oom_verifier", "verifier"),
    ],
)
def test_a_phase_that_failed_at_its_own_bound_is_the_arms_outcome_and_never_retried(ends, task, cause, phase):
    ((outcome, *end, _),) = ends[task, "1x"]
    assert (outcome, *end) == ("infra", cause, "resource", phase)
    ((outcome, *_, reward),) = ends[task, "uncapped"]
    assert (outcome, reward) == ("scored", 1.0)


def test_work_that_was_done_beside_a_killed_worker_is_scored(ends):
    assert [(end[0], end[-1]) for end in ends["agent-worker-done", "1x"]] == [("scored", 1.0)]


def test_the_last_lines_of_what_failed_are_told(sweep):
    details = {(row["task"], row["band"]): row["detail"] or "" for row in read_ledger(sweep / "run").table.to_pylist()}
    for task in ("setup-worker-1", "agent-worker"):
        assert "the worker failed with status -9" in details[task, "1x"]


def test_the_contrast_is_what_the_limit_did(sweep):
    """Seven of eleven tasks fail at 1x only, and the report says so."""
    done = raysweep("report", "run", "--json", cwd=sweep)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]
    (contrast,) = [
        f
        for f in findings
        if (f["estimand"], f["arm"], f["reference"], f["model"]) == ("success", "uncapped", "1x", "m")
        and f["resampled_over"] == "tasks"
        and f["bucket"] is None
        and f["facet"] is None
    ]
    assert contrast["value"] == pytest.approx(100 * 7 / 11)
    assert contrast["low"] > 0
