"""Harbor's verifier contract against a sandbox: stale files away, tests in, test.sh run, reward read."""

from __future__ import annotations

from pathlib import Path

from raysweep.record.evidence import VerifierFacts
from raysweep.sandbox.protocol import Sandbox
from raysweep.tasks.folder import tar_folder, untar_file
from raysweep.tasks.model import Task
from raysweep.verifier.reward import parse_reward

LOGS = "/logs/verifier"
COMMAND_ID = "verifier"
_CLEAN = f"mkdir -p {LOGS} && rm -rf {LOGS}/reward.json {LOGS}/reward.txt {LOGS}/ctrf.json {LOGS}/test-stdout.txt"
_TEST = f'chmod +x "$0" && exec "$0" > {LOGS}/test-stdout.txt 2>&1'


async def verify(sandbox: Sandbox, task: Task) -> VerifierFacts:
    """Reward of what the agent left in `sandbox`, or the problem that kept the tests from giving one.

    test.sh runs in the task's working directory, as the command "verifier"; its exit code is recorded and ignored.
    A missing, empty or unparsable reward, a time-out, and no ctrf.json where test.sh names it are problems, not a
    reward of 0. SandboxError when the sandbox is gone for a platform reason.
    """
    await sandbox.exec("verifier-clean", ["/bin/sh", "-c", _CLEAN], timeout_s=task.verifier_timeout_s)
    if task.path is not None:
        await sandbox.put(tar_folder(Path(task.path) / "tests"), "/tests")
    argv = ["/bin/sh", "-c", _TEST, "/tests/test.sh"]
    done = await sandbox.exec(
        COMMAND_ID, argv, timeout_s=task.verifier_timeout_s, env=task.verifier_env, cwd=task.workdir
    )
    if done.facts.timed_out:
        return VerifierFacts(done.facts, problem=f"test.sh did not end within {task.verifier_timeout_s:g} s")
    if done.facts.exit is None and done.facts.signal is None:
        return VerifierFacts(done.facts, problem="the sandbox ended before test.sh did")
    if task.ctrf and await _read(sandbox, "ctrf.json") is None:
        return VerifierFacts(done.facts, problem="test.sh names ctrf.json but wrote none: the tests did not run")
    reward, problem = parse_reward(await _read(sandbox, "reward.json"), await _read(sandbox, "reward.txt"))
    return VerifierFacts(done.facts, reward, problem)


async def read_output(sandbox: Sandbox, limit: int = 1 << 20) -> bytes:
    """The last `limit` bytes of what test.sh printed, for the trace; empty where there is nothing to read."""
    argv = ["/bin/sh", "-c", f'tail -c "$0" {LOGS}/test-stdout.txt 2>/dev/null', str(limit)]
    done = await sandbox.exec("verifier-output", argv, timeout_s=60, output_limit=limit)
    return done.stdout


async def _read(sandbox: Sandbox, name: str) -> bytes | None:
    try:
        archive = await sandbox.get(f"{LOGS}/{name}")
    except FileNotFoundError:
        return None
    return untar_file(archive)
