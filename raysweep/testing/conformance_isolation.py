# ruff: noqa: D102 - the names of the cases say what they check
"""Cases of what must not be visible or possible inside."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from raysweep.sandbox.protocol import SandboxProvider
from raysweep.testing.conformance_bench import Bench, processes_with, python, shell, succeeded

CANARY = "RAYSWEEP_CONFORMANCE_CANARY"
CONNECT = (
    "import socket, sys\n"
    "for address in (('192.0.2.1', 9), ('127.0.0.1', int(sys.argv[1]))):\n"
    "    s = socket.socket(); s.settimeout(2)\n"
    "    print(s.connect_ex(address) != 0)\n"
    "s = socket.socket(socket.AF_UNIX)\n"
    "print(s.connect_ex('\\0' + sys.argv[2]) != 0)\n"
    "print(sorted(name for _, name in socket.if_nameindex()))\n"
)


class IsolationCases(Bench):
    """Nothing of the runner's machine is inside."""

    async def test_no_environment_of_the_runner(
        self, provider: SandboxProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(CANARY, "seen")
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, "env; cat /proc/1/environ /proc/*/environ 2>/dev/null || true")
        assert CANARY.encode() not in result.stdout

    async def test_no_files_of_the_runner(self, provider: SandboxProvider, tmp_path: Path) -> None:
        places = [tmp_path, Path(tempfile.gettempdir()), Path.cwd()]
        places += [Path.home()] if os.access(Path.home(), os.W_OK) else []
        canaries = []
        for place in places:
            if os.access(place, os.W_OK):
                canaries.append(place / f".{CANARY}-{os.getpid()}")
                canaries[-1].touch()
        try:
            async with self.sandbox(provider) as sandbox:
                result = await shell(sandbox, f"ls -d {' '.join(map(str, canaries))} 2>/dev/null; ls -A /root /home")
        finally:
            for canary in canaries:
                canary.unlink(missing_ok=True)
        assert canaries
        assert {b"/home:", b"/root:"} <= set(result.stdout.split())
        assert CANARY.encode() not in result.stdout

    async def test_no_network_unless_asked_for(self, provider: SandboxProvider) -> None:
        if not provider.capabilities().network_isolation:
            return
        name = f"{CANARY}-{os.getpid()}"
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
            local.bind("\0" + name)
            local.listen()
            async with self.sandbox(provider) as sandbox:
                result = await python(sandbox, CONNECT, str(server.getsockname()[1]), name)
        assert succeeded(result)
        refused, interfaces = result.stdout.decode().split("[")
        assert refused.split() == ["True"] * 3
        assert set(interfaces.strip("]\n").replace("'", "").split(", ")) <= {"lo", "eth0"}

    async def test_no_processes_of_the_runner(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await sandbox.exec("ps", processes_with("pytest"))
        assert result.stdout == b""

    async def test_no_capabilities_and_no_way_to_get_them(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(sandbox, "grep -E 'CapEff|NoNewPrivs' /proc/self/status; mount -t tmpfs none /mnt")
        words = result.stdout.split()
        assert words[1] == b"0" * 16
        assert words[3] == b"1"
        assert result.facts.exit != 0

    async def test_writes_inside_stay_inside(self, provider: SandboxProvider) -> None:
        name = f"raysweep-canary-{os.getpid()}"
        async with self.sandbox(provider) as sandbox:
            await shell(sandbox, f"for d in /usr /etc /tmp /var/tmp /usr/local/bin; do touch $d/{name}; done")
            seen = await shell(sandbox, f"ls /tmp/{name} /usr/local/bin/{name}")
        async with self.sandbox(provider) as sandbox:
            again = await shell(sandbox, f"ls -d /usr/{name} /etc/{name} /tmp/{name} 2>/dev/null | wc -l")
        assert succeeded(seen)
        assert again.stdout.strip() == b"0"
        folders = [Path("/usr"), Path("/etc"), Path("/tmp"), Path("/var/tmp"), Path("/usr/local/bin")]
        assert not [folder for folder in folders if (folder / name).exists()]

    async def test_the_supervisor_is_out_of_reach(self, provider: SandboxProvider) -> None:
        async with self.sandbox(provider) as sandbox:
            result = await shell(
                sandbox,
                "cat /proc/1/environ /proc/1/mem; for f in /proc/1/fd/*; do (: < $f; : > $f) && echo $f; done\n"
                "kill -9 1; kill -STOP 1; kill -CHLD 1; true",
            )
            assert result.stdout == b""
            assert succeeded(await shell(sandbox, "true"))
