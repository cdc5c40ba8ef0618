"""The order of the verifier's steps, on a sandbox of names and bytes; test_verifier_local.py runs the real thing."""

from __future__ import annotations

import io
import tarfile

import pytest

from raysweep.record.evidence import CommandFacts
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

    async def exec(self, command_id, argv, **options):
        self.calls.append(f"exec {command_id}")
        if command_id == "verifier-clean":
            self.files = {name: data for name, data in self.files.items() if f"{LOGS}/{name}" not in argv[-1]}
        elif command_id == "verifier":
            self.options = options
            self.files |= {name.replace("_", "."): data for name, data in self.writes.items()}
            return ExecResult(self.facts)
        return ExecResult(DONE)

    async def put(self, archive, dest):
        self.calls.append(f"put {dest}")

    async def get(self, path):
        name = path.removeprefix(f"{LOGS}/")
        if name not in self.files:
            raise FileNotFoundError(path)
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
    assert sandbox.calls == ["exec verifier-clean", "put /tests", "exec verifier"]
    assert facts.reward is None
    assert "neither" in (facts.problem or "")
    assert sandbox.options == {"timeout_s": 7.0, "env": {"A": "1"}, "cwd": "/app"}


async def test_a_made_up_task_has_no_tests_to_bring():
    sandbox = PaperSandbox(reward_txt=b"0.5")
    assert (await verify(sandbox, task_at())).reward == 0.5
    assert sandbox.calls == ["exec verifier-clean", "exec verifier"]


async def test_the_exit_code_is_recorded_and_ignored():
    facts = await verify(PaperSandbox(CommandFacts(exit=1), reward_txt=b"1"), task_at())
    assert (facts.reward, facts.problem) == (1.0, None)
    assert facts.command == CommandFacts(exit=1)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (CommandFacts(signal=9, timed_out=True), "did not end within 7 s"),
        (CommandFacts(), "the sandbox ended before test.sh did"),
    ],
)
async def test_tests_that_did_not_end_give_no_reward_whatever_they_wrote(facts, problem):
    got = await verify(PaperSandbox(facts, reward_txt=b"1"), task_at())
    assert (got.command, got.reward) == (facts, None)
    assert problem in (got.problem or "")


async def test_no_ctrf_where_test_sh_names_it_means_the_tests_did_not_run():
    got = await verify(PaperSandbox(reward_txt=b"0"), task_at(ctrf=True))
    assert got.reward is None
    assert "ctrf.json" in (got.problem or "")
    assert (await verify(PaperSandbox(reward_txt=b"0", ctrf_json=b"{}"), task_at(ctrf=True))).reward == 0.0
