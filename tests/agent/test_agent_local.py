"""The built-in agents and the environment in real sandboxes."""

from __future__ import annotations

import uuid

import pytest

from raysweep.agent import make_agent
from raysweep.agent.environment import prepare_environment
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.tasks.load import load_tasks
from raysweep.units import MIB, Resources

pytestmark = pytest.mark.sandbox
BOUNDS = Resources(cpu=1000, memory=64 * MIB, storage=64 * MIB)


def make_task(root, **files):
    """A task of these files (name with __ for / and no suffix but .sh)."""
    contents = {
        "task.toml": "[environment]\ncpus = 1\nmemory_mb = 64\n[solution.env]\nWHO = 'oracle'\n",
        "instruction.md": "Do.\n",
        "tests/test.sh": "#!/bin/sh\n",
        **{name.replace("__", "/") + ".sh": text for name, text in files.items()},
    }
    for name, text in contents.items():
        (root / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "one" / name).write_text(text)
    (task,) = load_tasks(str(root), base=root)
    return task


@pytest.fixture
async def sandbox(needs_local):
    provider = LocalProvider(scratch=needs_local)
    provider.host()
    opened = provider.open(SandboxSpec("agent-tests", f"t{uuid.uuid4().hex[:8]}", BOUNDS, BOUNDS))
    await opened.start()
    yield opened
    await opened.stop()


async def text_of(sandbox, command):
    return (await sandbox.exec(uuid.uuid4().hex, ["/bin/sh", "-c", command])).stdout.decode()


async def test_the_environment_is_made_and_setup_is_gone(sandbox, tmp_path):
    task = make_task(tmp_path, environment__setup="#!/bin/sh\npwd > /app/where\n", environment__kept="hello\n")
    (tmp_path / "one" / "environment" / "Dockerfile").write_text("FROM a\nCOPY . /app\nRUN /app/setup.sh\n")
    done = await prepare_environment(sandbox, task, 120)
    assert done is not None
    assert (done.facts.exit, done.facts.timed_out) == (0, False)
    assert await text_of(sandbox, "cd /app && ls && cat where kept.sh") == "kept.sh\nwhere\n/app\nhello\n"


async def test_a_set_up_that_fails_is_a_value(sandbox, tmp_path):
    task = make_task(tmp_path, environment__setup="#!/bin/sh\necho no room >&2\nexit 7\n")
    done = await prepare_environment(sandbox, task, 120)
    assert done is not None
    assert done.ending() == "exit 7: no room"


async def test_nothing_to_prepare_is_none(sandbox, tmp_path):
    assert await prepare_environment(sandbox, make_task(tmp_path), 120) is None


async def test_oracle_runs_the_solution_and_records_its_exit(sandbox, tmp_path):
    task = make_task(tmp_path, solution__solve='#!/bin/sh\necho "$WHO in $PWD" > /app/out\nexit 3\n')
    facts = await make_agent("oracle", {}).run(sandbox, task, seed=1, timeout_s=120)
    assert facts.command is not None
    assert (facts.command.exit, facts.error) == (3, None)
    assert await text_of(sandbox, "cat /app/out") == "oracle in /app\n"


async def test_scripted_gives_its_strategy_the_seed_and_dies_as_itself(sandbox, tmp_path):
    task = make_task(
        tmp_path, strategies__rash__run="#!/bin/sh\necho $RAYSWEEP_SEED > /app/out\nexec sh -c 'kill -9 $$'\n"
    )
    facts = await make_agent("scripted", {"strategy": "rash"}).run(sandbox, task, seed=123, timeout_s=120)
    assert facts.command is not None
    assert (facts.command.exit, facts.command.signal) == (None, 9)
    assert await text_of(sandbox, "cat /app/out") == "123\n"


async def test_the_agents_time_is_bounded(sandbox, tmp_path):
    task = make_task(tmp_path, strategies__slow__run="#!/bin/sh\nsleep 60\n")
    facts = await make_agent("scripted", {"strategy": "slow"}).run(sandbox, task, seed=1, timeout_s=0.3)
    assert facts.command is not None
    assert facts.command.timed_out


async def test_what_the_task_does_not_have_is_the_agents_error(sandbox, tmp_path):
    task = make_task(tmp_path)
    for kind, options in (("oracle", {}), ("scripted", {"strategy": "none"})):
        facts = await make_agent(kind, options).run(sandbox, task, seed=1, timeout_s=120)
        assert facts.error is not None
        assert facts.command is None


async def test_nop_runs_nothing(sandbox, tmp_path):
    facts = await make_agent("nop", {}).run(sandbox, make_task(tmp_path), seed=1, timeout_s=120)
    assert (facts.command, facts.error) == (None, None)
