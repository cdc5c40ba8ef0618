"""Disks that are full, read-only or refused: the file is named with a remedy, nothing sealed is lost, the run goes on.

The small disks are tmpfs in a mount namespace of the child process: nothing is left, whatever happens to the test.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.errors import InputError
from raysweep.record import store as store_module
from raysweep.record.store import LocalStore, named_failures

CHILD = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from support.local_ledger import open_ledger, row
from raysweep.cli.main import main
from raysweep.errors import ExitCode, InputError
from raysweep.record.reader import read_attempts
from raysweep.record.store import LocalStore

def mount(*options):
    subprocess.run(["mount", *options, {path!r}], check=True)

def remount(options):
    mount("-o", "remount," + options)

def command(*arguments):
    sys.argv = ["raysweep", *map(str, arguments)]
    try:
        main()
    except SystemExit as end:
        return int(end.code)

def refusal(call):
    try:
        call()
    except InputError as error:
        assert error.exit_code == ExitCode.BAD_INPUT
        return str(error)
    raise AssertionError("not refused")

def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

path = Path({path!r})
mount("-t", "tmpfs", "-o", "size=8m", "tmpfs")
"""


def in_namespace(tmp_path, script):
    """Run `script` after CHILD, with mounts of its own; what it printed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    text = CHILD.format(here=str(Path(__file__).parents[1]), path=str(disk)) + script
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--mount", sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_full_disk_stops_the_writer_and_the_next_goes_on_after_space_is_there(tmp_path):
    in_namespace(
        tmp_path,
        """
run = path / "run"
run.mkdir()
store, lock, ledger = open_ledger(run)
for n in range(100):
    ledger.append(row(f"t{n}"))
fill(path / "filler")
for n in range(100, 199):
    ledger.append(row(f"t{n}"))
told = refusal(lambda: ledger.append(row("t199")))
assert "segment-0001-000002.parquet" in told and "no space is left" in told and "free space there" in told, told
assert len(read_attempts(store)) == 100
assert not [p for p in (run / "ledger").iterdir() if p.name.endswith(".tmp")]
(path / "filler").unlink()
ledger.seal()  # the rows were kept
assert len(read_attempts(store)) == 200
ledger.close()
lock.release()
store, lock, ledger = open_ledger(run)
ledger.append(row("t200"))
ledger.seal()
assert len(read_attempts(store)) == 201
""",
    )


SWEEP = """\
name: faults
tasks: {source: "synthetic:40", defaults: {cpus: 1, memory: 64Mi}}
models: [{name: m, agent: oracle}]
bands:
  - {name: 1x, request: 1.0, limit: 1.0}
  - {name: uncapped, request: 1.0, limit: none}
reference: 1x
repeats: 10
sandbox: {kind: simulated, truth: {success: 0.5, duration: [1s, 2s]}}
runner: {concurrency: 8, executor: inprocess}
"""


def test_a_sweep_on_a_full_disk_ends_with_exit_2_and_the_same_command_finishes_it(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    told = in_namespace(
        tmp_path,
        """
run = path / "run"
assert command("run", "sweep.yaml", "--run-dir", run, "--blocks", "50") == 0
before = len(read_attempts(LocalStore(run)))
assert before == 100
fill(path / "filler")
assert command("run", "sweep.yaml", "--run-dir", run) == 2
assert len(read_attempts(LocalStore(run))) >= before
(path / "filler").unlink()
assert command("run", "sweep.yaml", "--run-dir", run) == 0
assert len(read_attempts(LocalStore(run))) == 800
""",
    )
    assert "no space is left on the device; free space there" in told
    assert "bug in raysweep" not in told


def test_a_read_only_disk_is_named_by_every_command_that_writes_and_read_by_those_that_do_not(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    told = in_namespace(
        tmp_path,
        """
run = path / "run"
assert command("run", "sweep.yaml", "--run-dir", run, "--blocks", "20") == 0
remount("ro")
assert command("run", "sweep.yaml", "--run-dir", run) == 2
assert command("run", "sweep.yaml", "--run-dir", path / "new") == 2
assert command("report", run) == 2
assert command("status", run) == 0
remount("rw")
assert command("run", "sweep.yaml", "--run-dir", run) == 0
""",
    )
    assert told.count("the file system is read-only; mount it writable") == 3
    assert "bug in raysweep" not in told


def test_a_disk_that_becomes_read_only_under_a_writer(tmp_path):
    in_namespace(
        tmp_path,
        """
run = path / "run"
run.mkdir()
store, lock, ledger = open_ledger(run)
for n in range(150):
    ledger.append(row(f"t{n}"))
# the lock's file is open for writing: what the kernel does after an error of the device, tmpfs does not do by itself
subprocess.run(["mount", "--bind", "-o", "ro", str(run / "ledger"), str(run / "ledger")], check=True)
told = refusal(ledger.seal)
assert "read-only" in told and "segment-0001-000002.parquet" in told, told
assert len(read_attempts(store)) == 100
""",
    )


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "permission is denied"),
        (errno.EPERM, "permission is denied"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "device cannot"),
    ],
)
def test_what_the_system_refuses_is_named_with_its_remedy(tmp_path, monkeypatch, number, says):
    store = LocalStore(tmp_path)
    store.put_new("a/b", b"1")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store_module.os, "fsync", refuse)
    with pytest.raises(InputError, match=f"a/c: .*{says}.*the same command resumes"):
        store.put_new("a/c", b"2")
    assert store.names("a") == ["b"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_errors_that_mean_something_else_pass():
    with pytest.raises(FileNotFoundError), named_failures(Path("x")):
        raise FileNotFoundError(errno.ENOENT, "gone")
