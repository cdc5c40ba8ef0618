"""The committed binaries: what they are, that their source gives them, and the helpers that measure a place."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from raysweep.sandbox.supervisor import PLACE, SPOOL, binary
from support.supervisor_client import PROGRAM

ROOT = Path(__file__).parents[3]
MACHINE = {"amd64": 62, "arm64": 183}  # e_machine of ELF


def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, check=False, env={})


def test_machines_by_every_name():
    assert binary("amd64") == binary("x86_64") == binary("AMD64")
    assert binary("arm64") == binary("aarch64") != binary("amd64")
    assert PLACE.startswith("/.raysweep/")
    for folder in (PLACE.rpartition("/")[0], SPOOL):
        assert folder.count("/") == 1, "a mount below another folder could be moved away with it"
    with pytest.raises(ValueError, match="riscv64"):
        binary("riscv64")


@pytest.mark.parametrize("machine", MACHINE)
def test_they_are_static_small_and_name_no_place(machine):
    data = binary(machine).read_bytes()
    assert os.access(binary(machine), os.X_OK)
    assert data[:6] == b"\x7fELF\x02\x01"
    kind, elf_machine = struct.unpack_from("<HH", data, 16)
    assert (kind, elf_machine) == (2, MACHINE[machine])
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    kinds = {struct.unpack_from("<I", data, offset + number * size)[0] for number in range(count)}
    assert not kinds & {2, 3}, "PT_DYNAMIC or PT_INTERP: it needs a loader of the image"
    assert len(data) < 100_000, "both must fit a ConfigMap of 1 MiB with room to spare"
    for word in (b"/home", b"/root", b"/work", b"/tmp", b"ziglang"):
        assert word not in data


def test_checksums_name_the_committed_files():
    folder = binary("amd64").parent
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    named = dict(line.split("  ")[::-1] for line in lines)
    assert named == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("raysweep-*")}


def test_the_source_gives_the_committed_binaries():
    script = ROOT / "scripts" / "build-supervisor"
    done = subprocess.run([script, "--check"], capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr


def test_copy_makes_a_program_that_runs(tmp_path):
    assert run("copy", tmp_path).returncode == 0
    copy = tmp_path / "supervisor"
    assert copy.read_bytes() == PROGRAM.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o555
    assert [p.name for p in tmp_path.iterdir()] == ["supervisor"]
    assert subprocess.run([copy, "true"], check=False).returncode == 0
    assert run("copy", tmp_path).returncode == 0, "again, over the first"
    assert run("copy", tmp_path / "none").returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [(), ("init",), ("alloc",), ("alloc", "x"), ("alloc", "-1"), ("net", "::1"), ("dance",), ("burn", "1", "2")],
)
def test_wrong_use(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage: ")


def test_alloc_touches_what_it_was_told(tmp_path):
    with subprocess.Popen([PROGRAM, "alloc", str(40 << 20), "600000"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        process.kill()
    assert pages * os.sysconf("SC_PAGE_SIZE") >= 40 << 20
    done = run("alloc", 1 << 20)
    assert (done.returncode, done.stdout) == (0, b"held\n")
    assert run("alloc", 1 << 60).returncode == 1


def test_burn_tells_its_processor_time():
    done = run("burn", 200)
    assert done.returncode == 0
    assert 0 < int(done.stdout) < 2_000_000


def test_sleepers_are_counted_and_ended():
    assert run("sleepers", 5).stdout == b"5 0\n"


def test_sleepers_stop_where_forks_are_refused(without_root):
    client = without_root.client()
    ended = client.run([str(without_root.spool.parent / "supervisor"), "sleepers", "100"])
    count, number = map(int, ended.out.split())
    assert 0 < count < 6
    assert number == errno.EAGAIN
    assert client.run(["true"]).exit == 0, "they are gone"


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_net_tells_open_from_refused(family, host):
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        assert family == socket.AF_INET6
        assert run("net", host, 9, 1000).returncode == 3
        return
    with server:
        done = run("net", host, server.getsockname()[1], 60_000)
    assert (done.stdout, done.returncode) == (b"open\n", 0)
    with socket.socket(family) as taken:
        taken.bind((host, 0))  # it does not listen, and nobody else can meanwhile
        done = run("net", host, taken.getsockname()[1], 60_000)
    assert (done.stdout, done.returncode) == (b"refused\n", 1)


def test_net_refuses_names():
    done = run("net", "localhost", 80, 1000)
    assert (done.stdout, done.returncode) == (b"error %d\n" % errno.EINVAL, 3)
