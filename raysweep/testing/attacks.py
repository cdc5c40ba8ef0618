# ruff: noqa: D102 - the names of the cases say what they check
"""Attacks from inside a sandbox, for every kind of it: none may change a result, a limit or a reading unseen.

A backend's test module subclasses `SandboxAttacks` as it does `raysweep.testing.conformance.SandboxConformance`, with a
provider whose sandboxes give the task all that it can have (root, where the kind has it). Each attack is a function
that takes a started sandbox in its agent phase, attacks it from inside, and asserts what the runner still gets; so it
can be used by itself, too. Needs python3 (3.9 or newer) and sh inside.
"""

from __future__ import annotations

import errno
import itertools
import resource

import pytest

from raysweep.sandbox.protocol import Sandbox, SandboxProvider
from raysweep.testing import attack_programs as programs
from raysweep.testing.conformance_bench import Bench, python, shell, succeeded

SPARSE = 1_200_000_000
FORGED = 123456789012345
"""A memory reading that no sandbox of these tests can have."""
ROOM = 256 << 20
"""Bytes by which the runner may grow over a case: several times the largest bound that a case allows."""
_numbers = itertools.count(1)


class SandboxAttacks(Bench):
    """All attacks, a case for each."""

    @pytest.fixture
    def open_provider(self, provider: SandboxProvider) -> SandboxProvider:
        """One whose sandboxes may have network where that changes what the task reaches; else the same."""
        return provider

    async def test_the_place_of_the_supervisor_cannot_be_taken(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await take_the_place_of_the_supervisor(sandbox)

    async def test_no_secret_is_seen_while_streams_are_killed(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await look_for_secrets(sandbox)

    async def test_nobody_inside_can_give_orders(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await give_orders(sandbox)

    async def test_no_result_can_be_prepared(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await prepare_a_result(sandbox)

    async def test_other_processes_cannot_be_read_or_steered(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await look_into_the_supervisor(sandbox)

    async def test_samples_cannot_be_forged(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await forge_samples(sandbox)
            final_facts = await sandbox.stop()
        values = [getattr(sample, "memory", None) for sample in final_facts.samples]
        assert FORGED not in values
        assert final_facts.platform is None, final_facts

    async def test_signals_to_everything_lose_nothing(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await kill_everything(sandbox)

    async def test_limits_cannot_be_written(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await write_limits(sandbox)
            final_facts = await sandbox.stop()
        assert final_facts.actual_limit.memory == self.spec().limit.memory
        assert final_facts.actual_limit.cpu == self.spec().limit.cpu

    async def test_large_files_do_not_reach_the_runner(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await send_large_files(sandbox)

    async def test_large_outputs_do_not_reach_the_runner(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await send_large_outputs(sandbox)

    async def test_odd_files_hold_nobody_up(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            await send_odd_files(sandbox)


def secret_of(sandbox: Sandbox) -> bytes | None:
    """The token of a sandbox that has one."""
    token = getattr(getattr(sandbox, "container", None), "token", None)
    return token.encode() if isinstance(token, str) else None


async def assert_unharmed(sandbox: Sandbox) -> None:
    """A command gives its own output, files go in and out as they are, counters can be read."""
    word = f"mine-{next(_numbers)}"
    result = await sandbox.exec(f"after-{word}", ["sh", "-c", f"echo {word}"])
    assert succeeded(result)
    assert result.stdout == f"{word}\n".encode()
    await sandbox.put(bytes(1024), "/tmp/unharmed")
    assert len(await sandbox.get("/tmp/unharmed")) >= 1024
    assert (await sandbox.counters()) is not None


async def take_the_place_of_the_supervisor(sandbox: Sandbox) -> None:
    """Rename, remove and overwrite it and the folders above, plant a program there, kill streams: nobody runs it."""
    for _ in range(3):
        assert succeeded(await python(sandbox, programs.TAKE_PLACES))
        await shell(sandbox, programs.KILL_STREAMS)
        await assert_unharmed(sandbox)
    loot = await shell(sandbox, "ls -A /tmp/loot 2>/dev/null; true")
    assert loot.stdout == b"", "a planted program was run by the runner's next connection"


async def look_for_secrets(sandbox: Sandbox) -> None:
    """Poll environments, arguments and open files of all processes while streams are killed and made anew."""
    seen = b""
    for _ in range(4):
        result = await python(sandbox, programs.WATCH_PROCESSES, "1.5")
        assert succeeded(result)
        seen += result.stdout
        await assert_unharmed(sandbox)
    assert b"RAYSWEEP_TOKEN" not in seen
    secret = secret_of(sandbox)
    assert secret is None or secret not in seen


async def give_orders(sandbox: Sandbox) -> None:
    """Speak the supervisor's and the keeper's protocol on every socket inside, with all that can be seen as a token."""
    result = await python(sandbox, programs.GIVE_ORDERS)
    assert succeeded(result)
    assert b"obeyed" not in result.stdout, result.stdout
    await assert_unharmed(sandbox)
    marker = await shell(sandbox, "ls /tmp/obeyed 2>/dev/null; true")
    assert marker.stdout == b"", "a command ran that the runner did not ask for"


async def prepare_a_result(sandbox: Sandbox) -> None:
    """Run likely command ids (`verifier`, ...) with an own program before the runner does."""
    ids = ("verifier", "verifier-clean", "agent", "setup")
    assert succeeded(await python(sandbox, programs.GIVE_ORDERS, *ids))
    for name in ids:
        result = await sandbox.exec(name, ["sh", "-c", f"echo the runner asked for {name}; exit 3"])
        assert (result.stdout, result.facts.exit) == (f"the runner asked for {name}\n".encode(), 3)
        again = await sandbox.exec(name, ["sh", "-c", "echo another"])
        assert again.stdout == result.stdout, "a command id is run once"


async def look_into_the_supervisor(sandbox: Sandbox) -> None:
    """Trace, read and write memory, borrow descriptors, raise limits of process 1 and of the processes of streams."""
    result = await python(sandbox, programs.LOOK_INTO)
    assert succeeded(result)
    assert result.stdout == b"", result.stdout
    await assert_unharmed(sandbox)


async def forge_samples(sandbox: Sandbox) -> None:
    """Write rows that tell of FORGED bytes wherever samples may lie or be taken in."""
    assert succeeded(await python(sandbox, programs.FORGE_SAMPLES, str(FORGED)))
    await assert_unharmed(sandbox)


async def kill_everything(sandbox: Sandbox) -> None:
    """SIGKILL to all processes while commands run, again and again: later ones are run as if nothing was."""
    for _ in range(3):
        await python(sandbox, "import os, signal; os.kill(-1, signal.SIGKILL)")
        await python(sandbox, "import os\nfor s in (1, 2, 3, 9, 15, 17, 19, 20):\n  os.kill(1, s)")
        await assert_unharmed(sandbox)


async def write_limits(sandbox: Sandbox) -> None:
    """Write to every file of the cgroup that is seen inside, and move out of it."""
    result = await shell(sandbox, programs.WRITE_LIMITS)
    assert b"written" not in result.stdout, result.stdout
    await assert_unharmed(sandbox)


async def send_large_files(sandbox: Sandbox) -> None:
    """Sparse files and folders beyond the bound are refused by name, without the runner ever holding them."""
    assert succeeded(await python(sandbox, programs.LARGE_FILES, str(SPARSE)))
    before = _peak()
    for path in ("/tmp/large/sparse", "/tmp/large", "/tmp/large/many"):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what is asserted
            await sandbox.get(path, limit=1 << 20)
        assert caught.value.errno == errno.EFBIG, caught.value
    assert _peak() - before < ROOM
    await assert_unharmed(sandbox)


async def send_large_outputs(sandbox: Sandbox) -> None:
    """Outputs that are sparse, endless until the disk or time ends, or written to by others: bounded, counted whole."""
    before = _peak()
    for script in (
        f"truncate -s {SPARSE} /proc/self/fd/1",
        f"truncate -s {SPARSE} /proc/self/fd/2",
        "exec cat /dev/zero",
    ):
        result = await sandbox.exec(f"large-{next(_numbers)}", ["sh", "-c", f"{script} | head -c 50000000; true"])
        assert len(result.stdout) <= 1 << 20
        assert len(result.stderr) <= 1 << 20
    small = await sandbox.exec(f"large-{next(_numbers)}", ["sh", "-c", "head -c 3000000 /dev/zero"], output_limit=100)
    assert (len(small.stdout), small.stdout_bytes) == (100, 3_000_000)
    assert _peak() - before < ROOM
    await assert_unharmed(sandbox)


async def send_odd_files(sandbox: Sandbox) -> None:
    """Pipes, devices, endless or vanishing files, loops of links: an archive or an OSError, and never a wait."""
    assert succeeded(await python(sandbox, programs.ODD_FILES))
    for name in ("pipe", "loop", "deep", "proc", "zero", "names", "growing"):
        try:
            archive = await sandbox.get(f"/tmp/odd/{name}", limit=8 << 20)
        except OSError:
            continue
        assert len(archive) <= 8 << 20
    await assert_unharmed(sandbox)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
