"""What the conformance cases stand on: the fixtures a backend gives, and helpers to make and use a sandbox."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.protocol import Capabilities, ExecResult, Sandbox, SandboxProvider, SandboxSpec
from raysweep.units import MIB, Resources

RUN_ID = f"conformance-{os.getpid()}"
LIMIT = 64 * MIB
PATIENCE_S = 60.0
"""How long a condition that must come true may take on a machine with much else to do."""
# Touches every page, as a program that uses its memory does.
ALLOCATE = "import sys; x = bytearray(int(sys.argv[1])); x[::4096] = b'x' * len(x[::4096]); print('held', flush=True)"
_names = itertools.count(1)


class Bench:
    """Base of all groups of cases. A backend overrides `provider`, and what else differs for it."""

    image: str | None = None

    @pytest.fixture
    def provider(self) -> SandboxProvider:
        """The backend under test; it is prepared by each case."""
        raise NotImplementedError

    @pytest.fixture
    def crowded_provider(self) -> SandboxProvider:
        """A provider whose sandboxes share a parent with room for about 96 MiB, for the OOM of a parent group."""
        pytest.skip("this backend does not say how to fill a parent group")

    @pytest.fixture
    def traces(self) -> object:
        """A callable that returns the set of names of all that a sandbox could leave behind here."""
        pytest.skip("this backend does not say what it could leave behind")

    def spec(self, **changes: object) -> SandboxSpec:
        """The usual sandbox: 64 MiB, one cpu, 64 processes, no network."""
        spec = SandboxSpec(
            run_id=RUN_ID,
            name=f"case-{next(_names)}",
            request=Resources(cpu=100, memory=LIMIT // 2),
            limit=Resources(cpu=1000, memory=LIMIT),
            pids=64,
            image=self.image,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    @asynccontextmanager
    async def sandbox(self, provider: SandboxProvider, **changes: object) -> AsyncIterator[Sandbox]:
        """A started sandbox in its agent phase, stopped at the end."""
        await provider.prepare(RUN_ID)
        sandbox = provider.open(self.spec(**changes))
        try:
            await sandbox.start()
            await sandbox.begin_phase("agent")
            yield sandbox
        finally:
            await sandbox.stop()


async def shell(sandbox: Sandbox, script: str, timeout_s: float | None = None) -> ExecResult:
    """Run a shell script under a fresh command id."""
    return await sandbox.exec(f"id-{next(_names)}", ["sh", "-c", script], timeout_s=timeout_s)


async def python(sandbox: Sandbox, code: str, *argv: str, timeout_s: float | None = None) -> ExecResult:
    """Run Python code under a fresh command id."""
    return await sandbox.exec(f"id-{next(_names)}", ["python3", "-S", "-c", code, *argv], timeout_s=timeout_s)


async def allocate(sandbox: Sandbox, size: int) -> ExecResult:
    """Hold `size` bytes for a moment."""
    return await python(sandbox, ALLOCATE, str(size))


def succeeded(result: ExecResult) -> bool:
    """Whether a command ended with exit 0; its output is in the assertion's message then."""
    assert result.facts.exit == 0, result
    return True


def was_killed(result: ExecResult, capabilities: Capabilities) -> bool:
    """Whether the command was killed, or the whole sandbox with it where one victim takes the group."""
    facts = result.facts
    gone = capabilities.oom == "group" and facts.exit is None and facts.signal is None
    return facts.signal == 9 or facts.exit == 137 or gone


def own_limit_proven(counters: PhaseCounters, limit: int) -> bool:
    """The accepted proofs of an OOM kill by the own limit."""
    if counters.own_limit_ooms is not None:
        return counters.own_limit_ooms > 0
    if counters.oom_memcg_own is not None:
        return counters.oom_memcg_own
    return (counters.limit_peak_bytes or 0) >= 0.99 * limit and not counters.ancestor_full


def processes_with(marker: str, patience_s: float = 0.0) -> Sequence[str]:
    """Arguments of a command that prints the ids of processes inside whose command line contains `marker`.

    patience_s: how long it looks again while there is none; a process that is in the middle of an exec has no command
    line for a moment.
    """
    code = (
        "import os, sys, time\n"
        "def found():\n"
        "    for p in filter(str.isdigit, os.listdir('/proc')):\n"
        "        try: line = open(f'/proc/{p}/cmdline', 'rb').read()\n"
        "        except OSError: continue\n"
        "        if sys.argv[1].encode() in line and int(p) != os.getpid(): yield p\n"
        "end = time.monotonic() + float(sys.argv[2])\n"
        "while not (pids := list(found())) and time.monotonic() < end: time.sleep(0.05)\n"
        "if pids: print(*pids, sep='\\n')\n"
    )
    return ["python3", "-S", "-c", code, marker, str(patience_s)]


async def left_in_the_end(sandbox: Sandbox, marker: str) -> bytes:
    """Ids of processes inside whose command line contains `marker`, once the killed ones had time to die."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while True:
        seen = (await sandbox.exec(f"id-{next(_names)}", processes_with(marker))).stdout
        if not seen or loop.time() > end:
            return seen
