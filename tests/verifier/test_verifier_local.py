"""Harbor's verifier contract in real sandboxes."""

from __future__ import annotations

import uuid

import pytest

from raysweep.sandbox.local import LocalProvider
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
