"""Harbor's verifier contract against a sandbox: stale files away, tests in, test.sh run, reward read."""

from __future__ import annotations

import errno
from pathlib import Path

from raysweep.record.evidence import CommandFacts, VerifierFacts
from raysweep.sandbox.protocol import ExecResult, Sandbox, last_lines
from raysweep.tasks.folder import tar_folder
from raysweep.tasks.model import Task
from raysweep.verifier.reward import parse_reward, read_archive

LOGS = "/logs/verifier"
COMMAND_ID, LAST_COMMAND = "verifier", "verifier-last-lines"
REWARD_LIMIT = 64 << 10
"""Bytes of a reward file; more is no reward."""
ARCHIVE_SLACK = 16 << 10
"""What tar adds to one file."""
CTRF_LIMIT = 64 << 20
_LOOK = (
    f"cd {LOGS} || exit 0; look() {{ for f in reward.json reward.txt; do [ -e $f ] || continue;"
    " stat -c '%n %i %u %s %y %z' $f 2>/dev/null || ls -lin $f; done; };"
    ' a=$(look); sleep 0.2 2>/dev/null || sleep 1; b=$(look); [ "$a" = "$b" ] || exit 3; exit 0'
)
"""Inode, owner, size and times of the reward files, twice: exit 3 where they are not the same."""
REWRITTEN = 3
LAST_OUTPUT = 4096
"""Bytes of the end of test.sh's output that are looked at where there is no reward."""
_NOT_STARTED = b"raysweep: not started"
# A link in the place of either folder would send the clean-up, and the reward, elsewhere.
_CLEAN = (
    f"for f in /logs {LOGS}; do if [ -L $f ] || {{ [ -e $f ] && [ ! -d $f ]; }}; then rm -f $f || exit 1; fi; done; "
    f"mkdir -p {LOGS} && rm -rf {LOGS}/reward.json {LOGS}/reward.txt {LOGS}/ctrf.json {LOGS}/test-stdout.txt"
)
# A working directory that the agent removed is made again; the tests run in / where even that fails. `exec` leaves no
# shell between test.sh and who watches its death; where it fails, the shell says so on its own output: dash and busybox
# by the trap, bash by going on.
_TEST = (
    'cd "$1" 2>/dev/null || { mkdir -p "$1" && cd "$1"; } 2>/dev/null || cd /; '
    "case ${BASH_VERSION:-} in ?*) shopt -s execfail;; esac; "
    f"exec 3>&1; trap 'echo {_NOT_STARTED.decode()} >&3' EXIT; "
    f'chmod +x "$0"; exec "$0" > {LOGS}/test-stdout.txt 2>&1'
)


async def verify(sandbox: Sandbox, task: Task) -> VerifierFacts:
    """Reward of what the agent left in `sandbox`, or the problem that kept the tests from giving one.

    test.sh runs in the task's working directory, as the command "verifier"; its exit code is recorded and ignored.
    These are problems, not a reward of 0: old reward files that could not be removed, a test.sh that did not start, did
    not end in time or died of a signal, denied forks meanwhile, no ctrf.json where test.sh writes one, a reward that
    another process writes after test.sh has ended, and one that is missing, empty, no number, larger than 64 KiB, or no
    regular file. SandboxError when the sandbox is gone for a platform reason.
    """
    clean = await sandbox.exec("verifier-clean", ["/bin/sh", "-c", _CLEAN], timeout_s=task.verifier_timeout_s, cwd="/")
    if clean.facts.exit != 0:
        return VerifierFacts(clean.facts, problem=_unclean(clean))
    if task.path is not None:
        await sandbox.put(tar_folder(Path(task.path) / "tests"), "/tests")
    argv = ["/bin/sh", "-c", _TEST, "/tests/test.sh", task.workdir]
    done = await sandbox.exec(COMMAND_ID, argv, timeout_s=task.verifier_timeout_s, env=task.verifier_env, cwd="/")
    problem = _not_run(done, task.verifier_timeout_s) or await _forks_denied(sandbox)
    if problem is None and task.ctrf:
        problem = await _no_ctrf(sandbox)
    problem = problem or await _rewritten(sandbox)
    reward = None
    if problem is None:
        reward, problem = await _reward(sandbox)
    if problem is not None and (said := last_lines(await _end_of_output(sandbox, LAST_COMMAND, LAST_OUTPUT))):
        problem = f"{problem}; test.sh printed: {said}"
    return VerifierFacts(done.facts, reward, problem)


def _unclean(clean: ExecResult) -> str:
    if clean.facts.timed_out:
        return "old reward files could not be removed in time, so test.sh did not run"
    said = clean.stderr.decode(errors="replace").strip().splitlines()
    return f"old reward files could not be removed, so test.sh did not run: {said[-1] if said else 'no message'}"[:300]


def _not_run(done: ExecResult, timeout_s: float) -> str | None:
    """Why what test.sh left is no score, as far as its process tells."""
    facts: CommandFacts = done.facts
    if facts.timed_out:
        return f"test.sh did not end within {timeout_s:g} s"
    if facts.exit is None and facts.signal is None:
        return "the sandbox ended before test.sh did"
    if facts.signal is not None:
        return f"test.sh was killed by signal {facts.signal}"
    if _NOT_STARTED in done.stdout:
        return f"test.sh did not start (exit {facts.exit}): its interpreter is missing or the file is no program"
    return None


async def _forks_denied(sandbox: Sandbox) -> str | None:
    denied = (await sandbox.counters()).pids_denied
    return f"{denied} forks were denied while test.sh ran" if denied else None


async def _rewritten(sandbox: Sandbox) -> str | None:
    """Why the reward is not the tests' word: something still writes it after test.sh has ended."""
    look = (await sandbox.exec("verifier-look", ["/bin/sh", "-c", _LOOK], timeout_s=60, cwd="/")).facts
    if look.exit == REWRITTEN:
        return "the reward changed after test.sh had ended: another process writes it"
    return None if look.exit == 0 else f"the reward could not be looked at twice ({look.ending()})"


async def _no_ctrf(sandbox: Sandbox) -> str | None:
    try:
        await sandbox.get(f"{LOGS}/ctrf.json", limit=CTRF_LIMIT)
    except FileNotFoundError:
        return "test.sh writes ctrf.json, but there is none: the tests did not run"
    except OSError as error:
        return None if error.errno == errno.EFBIG else f"ctrf.json cannot be read: {error}"
    return None


async def _reward(sandbox: Sandbox) -> tuple[float | None, str | None]:
    """(reward, problem), exactly one of them set."""
    files: dict[str, bytes | None] = {}
    for name in ("reward.json", "reward.txt"):
        try:
            files[name] = read_archive(await sandbox.get(f"{LOGS}/{name}", limit=REWARD_LIMIT + ARCHIVE_SLACK), name)
        except FileNotFoundError:
            files[name] = None
        except ValueError as error:
            return None, str(error)
        except OSError as error:
            if error.errno == errno.EFBIG:
                return None, f"{name} is larger than {REWARD_LIMIT >> 10} KiB"
            return None, f"{name} cannot be read: {error}"
        data = files[name]
        if data is not None and len(data) > REWARD_LIMIT:
            return None, f"{name} is larger than {REWARD_LIMIT >> 10} KiB"
    return parse_reward(files["reward.json"], files["reward.txt"])


async def read_output(sandbox: Sandbox, limit: int = 1 << 20) -> bytes:
    """The last `limit` bytes of what test.sh printed, for the trace; empty where there is nothing to read."""
    return await _end_of_output(sandbox, "verifier-output", limit)


async def _end_of_output(sandbox: Sandbox, command_id: str, limit: int) -> bytes:
    argv = ["/bin/sh", "-c", f'tail -c "$0" {LOGS}/test-stdout.txt 2>/dev/null', str(limit)]
    done = await sandbox.exec(command_id, argv, timeout_s=60, output_limit=limit)
    return done.stdout
