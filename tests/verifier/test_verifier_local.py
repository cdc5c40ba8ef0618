"""Harbor's verifier contract in real sandboxes."""

from __future__ import annotations

import resource
import uuid

import pytest

from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.tasks.load import load_tasks
from raysweep.units import MIB, Resources
from raysweep.verifier import read_output, verify

pytestmark = pytest.mark.sandbox
BOUNDS = Resources(cpu=1000, memory=64 * MIB, storage=64 * MIB)


@pytest.fixture
async def sandbox(needs_local):
    provider = LocalProvider(scratch=needs_local)
    provider.host()
    opened = provider.open(SandboxSpec("verifier-tests", f"t{uuid.uuid4().hex[:8]}", BOUNDS, BOUNDS))
    await opened.start()
    yield opened
    await opened.stop()


def task_with(root, test_sh, timeout=120):
    folder = root / "one"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test.sh").write_text(test_sh)
    (folder / "tests" / "helper").write_text("1\n")
    (folder / "instruction.md").write_text("x")
    (folder / "task.toml").write_text(
        f"[environment]\ncpus = 1\nmemory_mb = 64\n[verifier]\ntimeout_sec = {timeout}\nenv = {{ WHAT = 'tests' }}\n"
    )
    (task,) = load_tasks(str(root), base=root)
    return task


async def test_tests_run_with_their_helpers_and_their_output_is_kept(sandbox, tmp_path):
    test_sh = '#!/bin/sh\ncp /tests/helper /logs/verifier/reward.txt\necho "$WHAT in $PWD"; echo oops >&2; exit 9\n'
    facts = await verify(sandbox, task_with(tmp_path, test_sh))
    assert (facts.reward, facts.problem) == (1.0, None)
    assert facts.command is not None
    assert facts.command.exit == 9
    assert await read_output(sandbox) == b"tests in /app\noops\n"


async def test_a_reward_the_agent_left_does_not_count(sandbox, tmp_path):
    plant = (
        "mkdir -p /logs/verifier; ln -s /etc/hostname /logs/verifier/reward.json; echo 1 > /logs/verifier/reward.txt"
    )
    await sandbox.exec("agent", ["/bin/sh", "-c", plant])
    facts = await verify(sandbox, task_with(tmp_path, "#!/bin/sh\ntrue\n"))
    assert facts.reward is None
    assert "neither" in (facts.problem or "")


async def test_a_time_out_is_a_problem_though_a_reward_was_written(sandbox, tmp_path):
    test_sh = "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\nsleep 60\n"
    facts = await verify(sandbox, task_with(tmp_path, test_sh, timeout=0.4))
    assert facts.reward is None
    assert facts.command is not None
    assert facts.command.timed_out
    assert "0.4 s" in (facts.problem or "")


async def test_output_is_read_from_its_end(sandbox, tmp_path):
    test_sh = '#!/bin/sh\nhead -c 3000000 /dev/zero | tr "\\0" a\necho end\n'
    await verify(sandbox, task_with(tmp_path, test_sh))
    output = await read_output(sandbox, limit=1000)
    assert len(output) == 1000
    assert output.endswith(b"aaaend\n")


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo 1 > /app/score; ln -s /app/score /logs/verifier/reward.txt", "reward.txt is a symbolic link"),
        ("mkfifo /logs/verifier/reward.txt", "reward.txt is a named pipe"),
        ("mkdir /logs/verifier/reward.json", "reward.json is a folder"),
        ("truncate -s 300M /logs/verifier/reward.txt", "reward.txt is larger than 64 KiB"),
        ("truncate -s 1M /logs/verifier/reward.json", "reward.json is larger than 64 KiB"),
    ],
)
async def test_only_a_small_regular_file_is_a_reward(sandbox, tmp_path, script, what):
    before = peak_rss()
    facts = await verify(sandbox, task_with(tmp_path, f"#!/bin/sh\n{script}\n"))
    assert facts.reward is None
    assert what in (facts.problem or "")
    assert peak_rss() - before < 64 * MIB


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_tests_that_never_start_give_no_reward(sandbox, tmp_path):
    loop = "while :; do echo 1 > /logs/verifier/reward.txt; sleep 0.05; done >/dev/null 2>&1 &"
    await sandbox.exec("agent", ["/bin/sh", "-c", loop])
    facts = await verify(sandbox, task_with(tmp_path, "#!/no/such/interpreter\n"))
    assert facts.reward is None
    assert "did not start (exit 127)" in (facts.problem or "")


@pytest.mark.parametrize(
    "leave", ["rm -rf /app", "rm -rf /app && touch /app", "cd / && rm -rf /app && ln -s /nowhere /app"]
)
async def test_a_working_directory_that_the_agent_removed_does_not_excuse_it(sandbox, tmp_path, leave):
    await sandbox.exec("agent", ["/bin/sh", "-c", leave], cwd="/")
    facts = await verify(sandbox, task_with(tmp_path, "#!/bin/sh\npwd; echo 0 > /logs/verifier/reward.txt\n"))
    assert (facts.reward, facts.problem) == (0.0, None)


@pytest.mark.parametrize(
    "trap",
    [
        "mkdir -p /elsewhere /logs && rm -rf /logs/verifier && ln -s /elsewhere /logs/verifier",
        "mkdir -p /elsewhere/verifier && rm -rf /logs && ln -s /elsewhere /logs && echo 1 > /logs/verifier/reward.txt",
        "rm -rf /logs && echo x > /logs",
        "mkdir -p /logs && rm -rf /logs/verifier && mkfifo /logs/verifier",
    ],
)
async def test_the_folder_of_the_reward_is_made_anew_where_the_agent_bent_it(sandbox, tmp_path, trap):
    await sandbox.exec("agent", ["/bin/sh", "-c", trap])
    facts = await verify(sandbox, task_with(tmp_path, "#!/bin/sh\necho 0 > /logs/verifier/reward.txt\n"))
    assert (facts.reward, facts.problem) == (0.0, None)
