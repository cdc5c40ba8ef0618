# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of running commands: time-outs, background processes, output, exactly once."""

from __future__ import annotations

import asyncio

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import (
    PATIENCE_S,
    Bench,
    left_in_the_end,
    processes_with,
    python,
    shell,
    succeeded,
)

# A command whose processes try to outlive it: one ignores SIGTERM, one makes a session, one is adopted by process 1.
STUBBORN = (
    "trap '' TERM HUP INT\n"
    "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' stubborn &\n"
    "(sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' stubborn &)\n"
    "while :; do sleep 0.05; done\n"
)


class CommandCases(Bench):
    """A command ends as itself, once, and nothing it leaves behind can hang us."""

    async def test_exit_codes_signals_and_missing_programs(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            assert (await shell(sandbox, "exit 7")).facts.exit == 7
            ended = (await python(sandbox, "import os; os.kill(os.getpid(), 15)")).facts
            assert ended.signal == 15 or ended.exit == 143
            missing = await sandbox.exec("missing", ["/no/such/program"])
            assert missing.facts.exit == 127

    async def test_environment_folder_and_standard_input(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider, env={"A": "spec", "B": "spec"}) as sandbox:
            result = await sandbox.exec("env", ["sh", "-c", "echo $A $B; pwd; cat"], env={"B": "command"})
            assert result.stdout == b"spec command\n/app\n"
            result = await sandbox.exec("cwd", ["pwd"], cwd="/tmp")
            assert result.stdout == b"/tmp\n"

    async def test_a_time_out_ends_the_whole_tree(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            before = await sandbox.exec("other", ["sh", "-c", "sleep 4711 & echo started"])
            assert succeeded(before)
            result = await shell(sandbox, STUBBORN, timeout_s=1.0)
            assert result.facts.timed_out
            assert (await sandbox.exec("ps", processes_with("stubborn"))).stdout == b""
            others = await sandbox.exec("ps-other", processes_with("4711", PATIENCE_S))
            assert others.stdout != b"", "another command's background process was killed too"

    async def test_a_time_out_that_is_not_reached_changes_nothing(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, "echo done", timeout_s=300)
        assert succeeded(result)
        assert not result.facts.timed_out

    async def test_a_background_process_that_holds_stdout_hangs_nobody(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, "sleep 4712 & echo started")
            assert succeeded(result)
            assert result.stdout == b"started\n"
            await sandbox.begin_phase("verifier")
            alive = await sandbox.exec("ps", processes_with("4712", PATIENCE_S))
            assert alive.stdout != b"", "a background process must live on into the next phase"

    async def test_ten_megabytes_of_output_are_counted_and_cut(self, provider: SandboxProvider) -> None:
        code = "import sys; [sys.stdout.write('0123456789' * 10_000) for _ in range(100)]; sys.stderr.write('e' * 5000)"
        async with self.sandbox(provider) as sandbox:
            result = await sandbox.exec("flood", ["python3", "-S", "-c", code], output_limit=1 << 16)
            full = await sandbox.exec("full", ["python3", "-S", "-c", code], output_limit=1 << 24)
        assert succeeded(result)
        assert (result.stdout_bytes, result.stderr_bytes) == (10_000_000, 5000)
        assert 0 < len(result.stdout) <= 1 << 16
        assert full.stdout == b"0123456789" * 1_000_000

    async def test_output_need_not_be_text(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, r"printf '\377\376\000x\n'; printf '\200' >&2")
        assert result.stdout == b"\xff\xfe\x00x\n"
        assert result.stderr == b"\x80"

    async def test_a_command_id_runs_once(self, provider: SandboxProvider) -> None:
        argv = ["sh", "-c", "sleep 0.2; echo ran | tee -a /tmp/count"]
        async with self.sandbox(provider) as sandbox:
            first, second = await asyncio.gather(sandbox.exec("same", argv), sandbox.exec("same", argv))
            third = await sandbox.exec("same", ["sh", "-c", "exit 9"])
            count = await shell(sandbox, "cat /tmp/count")
        assert count.stdout == b"ran\n"
        assert first.stdout == second.stdout == third.stdout == b"ran\n"
        assert first.facts == second.facts == third.facts

    async def test_commands_run_side_by_side(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            waiting = asyncio.create_task(shell(sandbox, "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo went"))
            assert succeeded(await shell(sandbox, "touch /tmp/go"))
            assert (await waiting).stdout == b"went\n"

    async def test_kill_everything_inside_leaves_the_sandbox_usable(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, "sleep 600 & kill -9 -1; kill -9 $$")
            assert result.facts.signal == 9 or result.facts.exit == 137
            assert await left_in_the_end(sandbox, "sleep") == b""
            assert succeeded(await shell(sandbox, "true"))
