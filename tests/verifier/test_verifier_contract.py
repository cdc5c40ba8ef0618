"""The order of the verifier's steps, on a sandbox of names and bytes; test_verifier_local.py runs the real thing."""

from __future__ import annotations

import errno
import io
import tarfile

import pytest

from raysweep.record.evidence import CommandFacts, PhaseCounters
from raysweep.sandbox.protocol import ExecResult
from raysweep.tasks.model import Task
from raysweep.units import Resources
from raysweep.verifier import verify

LOGS = "/logs/verifier"
DONE = CommandFacts(exit=0, duration_s=0.1)


class PaperSandbox:
    """Keeps what the protocol was asked for; the command "verifier" writes `writes` and ends with `facts`."""

    def __init__(self, facts: CommandFacts = DONE, **writes: bytes) -> None:
        self.facts, self.writes = facts, writes
        self.calls: list[str] = []
        self.files: dict[str, bytes] = {"reward.txt": b"1", "reward.json": b'{"reward": 1}', "ctrf.json": b"{}"}
        self.options: dict[str, object] = {}
        self.clean = ExecResult(DONE)
        self.look = ExecResult(DONE)
        self.stdout = b""
        self.counted = PhaseCounters("verifier")

    async def exec(self, command_id, argv, **options):
        self.calls.append(f"exec {command_id}")
        if command_id == "verifier-clean":
            self.files = {name: data for name, data in self.files.items() if f"{LOGS}/{name}" not in argv[-1]}
        elif command_id == "verifier":
            self.options = options
            self.files |= {name.replace("_", "."): data for name, data in self.writes.items()}
            return ExecResult(self.facts, self.stdout)
        return self.look if command_id == "verifier-look" else self.clean

    async def counters(self):
        return self.counted

    async def put(self, archive, dest):
        self.calls.append(f"put {dest}")

    async def get(self, path, *, limit=0):
        name = path.removeprefix(f"{LOGS}/")
        if name not in self.files:
            raise FileNotFoundError(path)
        if len(self.files[name]) > limit:
            raise OSError(errno.EFBIG, "too large")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(self.files[name])
            archive.addfile(entry, io.BytesIO(self.files[name]))
        return buffer.getvalue()


def task_at(path=None, **changes):
    return Task("one", "sha256:0", Resources(), path=path, verifier_timeout_s=7.0, verifier_env={"A": "1"}, **changes)


async def test_stale_files_go_before_the_tests_come(tmp_path):
    (tmp_path / "tests").mkdir()
    sandbox = PaperSandbox()
    facts = await verify(sandbox, task_at(str(tmp_path)))
    assert sandbox.calls == [
        "exec verifier-clean",
        "put /tests",
        "exec verifier",
        "exec verifier-look",
        "exec verifier-last-lines",
    ]
    assert facts.reward is None
    assert "neither" in (facts.problem or "")
    assert sandbox.options == {"timeout_s": 7.0, "env": {"A": "1"}, "cwd": "/"}


async def test_a_made_up_task_has_no_tests_to_bring():
    sandbox = PaperSandbox(reward_txt=b"0.5")
    assert (await verify(sandbox, task_at())).reward == 0.5
    assert sandbox.calls == ["exec verifier-clean", "exec verifier", "exec verifier-look"]


async def test_the_exit_code_is_recorded_and_ignored():
    facts = await verify(PaperSandbox(CommandFacts(exit=1), reward_txt=b"1"), task_at())
    assert (facts.reward, facts.problem) == (1.0, None)
    assert facts.command == CommandFacts(exit=1)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (CommandFacts(signal=9, timed_out=True), "did not end within 7 s"),
        (CommandFacts(), "the sandbox ended before test.sh did"),
        (CommandFacts(signal=9), "killed by signal 9"),
    ],
)
async def test_tests_that_did_not_end_give_no_reward_whatever_they_wrote(facts, problem):
    got = await verify(PaperSandbox(facts, reward_txt=b"1"), task_at())
    assert (got.command, got.reward) == (facts, None)
    assert problem in (got.problem or "")


async def test_no_ctrf_where_test_sh_writes_it_means_the_tests_did_not_run():
    got = await verify(PaperSandbox(reward_txt=b"0"), task_at(ctrf=True))
    assert got.reward is None
    assert "ctrf.json" in (got.problem or "")
    assert (await verify(PaperSandbox(reward_txt=b"0", ctrf_json=b"{}"), task_at(ctrf=True))).reward == 0.0


async def test_no_score_where_old_reward_files_could_not_be_removed():
    sandbox = PaperSandbox(reward_txt=b"1")
    sandbox.clean = ExecResult(CommandFacts(exit=2), stderr=b"sh: 1: Cannot fork\n")
    facts = await verify(sandbox, task_at())
    assert facts.reward is None
    assert "Cannot fork" in (facts.problem or "")
    assert sandbox.calls == ["exec verifier-clean"]


async def test_no_score_where_test_sh_did_not_start():
    sandbox = PaperSandbox(CommandFacts(exit=127), reward_txt=b"1")
    sandbox.stdout = b"raysweep: not started\n"
    facts = await verify(sandbox, task_at())
    assert facts.reward is None
    assert "did not start (exit 127)" in (facts.problem or "")


async def test_no_score_where_forks_were_denied_meanwhile():
    sandbox = PaperSandbox(reward_txt=b"1")
    sandbox.counted = PhaseCounters("verifier", pids_denied=3)
    facts = await verify(sandbox, task_at())
    assert facts.reward is None
    assert facts.problem == "3 forks were denied while test.sh ran"


@pytest.mark.parametrize("name", ["reward_txt", "reward_json"])
async def test_a_reward_file_has_a_bound(name):
    facts = await verify(PaperSandbox(**{name: b" " * (65 << 10) + b"1"}), task_at())
    assert facts.reward is None
    assert facts.problem == f"{name.replace('_', '.')} is larger than 64 KiB"
    assert (await verify(PaperSandbox(reward_txt=b" " * (63 << 10) + b"1"), task_at())).reward == 1.0


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (CommandFacts(exit=3), "the reward changed after test.sh had ended"),
        (CommandFacts(signal=9), "could not be looked at twice (killed by signal 9)"),
        (CommandFacts(signal=9, timed_out=True), "could not be looked at twice (timed out)"),
    ],
)
async def test_a_reward_that_something_else_writes_is_void(look, says):
    sandbox = PaperSandbox(reward_txt=b"1")
    assert (await verify(sandbox, task_at())).reward == 1.0
    sandbox = PaperSandbox(reward_txt=b"1")
    sandbox.look = ExecResult(look)
    facts = await verify(sandbox, task_at())
    assert facts.reward is None
    assert says in facts.problem
