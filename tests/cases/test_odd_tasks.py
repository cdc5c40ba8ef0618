"""Tasks as people really write them, through the real command line: one sweep of all that run, checks for the rest.

Each is a kind of fault that users of such tools have reported: what ran before was a wrong score, or none.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep

pytestmark = pytest.mark.e2e
LOCAL = "{kind: local, pids: 64}"
SWEEP = """\
name: odd-tasks
seed: 7
tasks: {source: tasks}
models: [{name: m, agent: scripted, strategy: s}]
bands: [{name: 1x, request: 1.0, limit: 1.0}, {name: uncapped, request: 1.0, limit: none}]
reference: 1x
repeats: 1
sandbox: {kind: local, pids: 64}
runner: {concurrency: 2, executor: inprocess}
probes: {enabled: false}
"""
TOML = """\
schema_version = "1.4"
[agent]
timeout_sec = 20.0
[verifier]
timeout_sec = 20.0
[environment]
build_timeout_sec = 20.0
cpus = 1
memory_mb = 64
network_mode = "no-network"
"""
DONE = "#!/bin/sh\necho done > /app/out\n"
LOOK = "if [ -f /app/out ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n"
HOLD = """\
import os, time
while True:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        time.sleep(120)
        os._exit(0)
os._exit(0)
"""


def make(root: Path, name: str, test_sh: str = LOOK, agent: str = DONE, files: dict[str, str] | None = None) -> Path:
    folder = root / "tasks" / name
    contents = {
        "task.toml": TOML,
        "instruction.md": "Make /app/out.\n",
        "tests/test.sh": "#!/bin/sh\n" + test_sh,
        "strategies/s/run.sh": agent,
        **(files or {}),
    }
    for path, text in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, newline="")
    (root / "sweep.yaml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def outcomes(sandbox_section, tmp_path_factory):
    """{task: set of (outcome, reward, detail)} over both bands of one sweep."""
    root = tmp_path_factory.mktemp("odd")
    make(
        root,
        "stale-reward",
        "mkdir -p /logs/verifier\n(grep -q right /app/out && echo 1 || echo 0) > /logs/verifier/reward.txt\n",
        "#!/bin/sh\nmkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt\nexec python3 /strategy/hold.py\n",
        {"strategies/s/hold.py": HOLD},
    )
    make(root, "huge-reward", "truncate -s 300M /logs/verifier/reward.txt\n")
    make(root, "linked-reward", "echo 1 > /app/score; ln -s /app/score /logs/verifier/reward.txt\n")
    make(root, "ctrf-in-a-comment", f"# was: pytest --ctrf /logs/verifier/ctrf.json\n{LOOK}")
    make(root, "ctrf-not-written", f"false --ctrf /logs/verifier/ctrf.json\n{LOOK}")
    key = make(
        root,
        "mode-600",
        '[ "$(cat /app/mode)" = 600 ] && echo 1 > /logs/verifier/reward.txt\n',
        files={"environment/setup.sh": "#!/bin/sh\nstat -c %a /app/key > /app/mode\n", "environment/key": "k"},
    )
    (key / "environment" / "key").chmod(0o600)
    odd = make(
        root,
        "odd-files",
        "[ -f /app/puzzle.pyc ] && [ -f /app/lib/__pycache__/m.cpython-312.pyc ] && [ -d /app/empty ] &&\n"
        "[ -f \"$(printf '/app/caf\\351.txt')\" ] && ! [ -e /app/.DS_Store ] && echo 1 > /logs/verifier/reward.txt\n",
        files={
            "environment/setup.sh": "#!/bin/sh\n",
            "environment/puzzle.pyc": "x",
            "environment/lib/__pycache__/m.cpython-312.pyc": "y",
            "environment/.DS_Store": "finder",
        },
    )
    (odd / "environment" / "empty").mkdir()
    Path(os.fsdecode(bytes(odd) + b"/environment/caf\xe9.txt")).write_text("z")
    make(root, "removed-workdir", "echo 0 > /logs/verifier/reward.txt\n", "#!/bin/sh\ncd /; rm -rf /app\n")
    (root / "sweep.yaml").write_text(SWEEP.replace(LOCAL, sandbox_section))
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=root)
    assert done.returncode == 0, done.stderr
    seen: dict[str, set[tuple[str, float | None, str]]] = {}
    for row in read_ledger(root / "run").table.to_pylist():
        seen.setdefault(row["task"], set()).add((row["outcome"], row["reward"], row["detail"] or ""))
    return seen


@pytest.mark.parametrize(
    ("task", "reward"), [("ctrf-in-a-comment", 1.0), ("mode-600", 1.0), ("odd-files", 1.0), ("removed-workdir", 0.0)]
)
def test_what_a_task_means_is_what_is_scored(outcomes, task, reward):
    assert {(outcome, value) for outcome, value, _ in outcomes[task]} == {("scored", reward)}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("huge-reward", "larger than 64 KiB"),
        ("linked-reward", "symbolic link"),
        ("ctrf-not-written", "the tests did not run"),
    ],
)
def test_what_is_no_score_says_why(outcomes, task, said):
    assert {outcome for outcome, _, _ in outcomes[task]} == {"verifier_error"}
    assert all(said in detail for _, _, detail in outcomes[task]), outcomes[task]


def test_a_reward_that_tests_did_not_write_is_never_a_score(outcomes):
    assert {value for _, value, _ in outcomes["stale-reward"]} == {None}
    assert {outcome for outcome, _, _ in outcomes["stale-reward"]} <= {"verifier_error", "infra"}


@pytest.mark.parametrize(
    ("files", "file", "said"),
    [
        ({"tests/test.sh": "#!/bin/sh\r\necho 1\r\n"}, "tests/test.sh", "CR LF"),
        ({"strategies/s/run.sh": "#!/bin/bash\r\necho done > /app/out\r\n"}, "strategies/s/run.sh", "CR LF"),
        ({"task.toml": TOML.replace("memory_mb = 64", "memory = 4096")}, "task.toml", "4096"),
        ({"task.toml": TOML.replace("cpus = 1", "cpus = 0.0004")}, "task.toml", "0.0004"),
        ("pipe", "environment/pipe", "named pipe"),
        ("socket", "environment/socket", "a socket"),
    ],
)
def test_what_cannot_run_is_named_by_check(tmp_path, files, file, said):
    folder = make(tmp_path, "one", files=files if isinstance(files, dict) else {"environment/setup.sh": "#!/bin/sh\n"})
    if files == "pipe":
        os.mkfifo(folder / "environment" / "pipe")
    if files == "socket":
        with contextlib.chdir(folder / "environment"), socket.socket(socket.AF_UNIX) as made:
            made.bind("socket")  # the whole path would be too long
    done = raysweep("check", "sweep.yaml", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"tasks/one/{file}" in done.stderr
    assert said in done.stderr


@pytest.mark.sandbox
def test_what_a_file_manager_leaves_is_no_change_of_a_task(needs_local, tmp_path):
    folder = make(tmp_path, "one")
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("repeats: 1", "repeats: 2"))
    assert raysweep("run", "sweep.yaml", "--run-dir", "run", "--blocks", "1", cwd=tmp_path).returncode == 0
    (folder / ".DS_Store").write_text("x")
    (folder / "tests" / ".test.sh.swp").write_text("x")
    done = raysweep("run", "sweep.yaml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["reward"] for row in read_ledger(tmp_path / "run").table.to_pylist()} == {1.0}
