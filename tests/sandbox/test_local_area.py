"""What a sandbox shows of the host, and what `raysweep doctor` says about this machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from raysweep.errors import UnsuitableError
from raysweep.sandbox.local.area import HostView, create_area, private_paths
from raysweep.sandbox.local.disk import remove_tree
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.testing.conformance_bench import RUN_ID, shell, succeeded
from raysweep.units import MIB, Resources
from support.local_sandboxes import SCRATCH, make_provider


def test_only_what_everyone_may_read_is_shown(tmp_path):
    (tmp_path / "open").write_text("x")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o640)
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "inner").write_text("x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "key").write_text("x")
    (tmp_path / "deep" / "key").chmod(0o600)
    assert sorted(private_paths(tmp_path)) == ["closed", "deep/key", "secret"]


def test_hidden_files_get_whiteouts_and_a_network_its_resolver(tmp_path):
    view = HostView(overlays={"etc": "/etc"}, hidden=[("etc", "deep/key")])
    create_area(tmp_path, view, "/work/here", resolv="nameserver 192.0.2.1\n")
    found = (tmp_path / "up/etc/deep/key").lstat()
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 0
    assert (tmp_path / "root/work/here").is_dir()
    assert stat.S_IMODE((tmp_path / "root/tmp").stat().st_mode) == 0o1777
    assert (tmp_path / "up/etc/resolv.conf").read_text() == "nameserver 192.0.2.1\n"


def test_folders_that_a_task_closed_are_removed_too(tmp_path):
    inner = tmp_path / "area" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_tree(tmp_path / "area")
    assert not (tmp_path / "area").exists()
    remove_tree(tmp_path / "area")


@pytest.mark.sandbox
async def test_the_hosts_secrets_are_not_inside():
    provider = make_provider(SCRATCH)
    await provider.prepare(RUN_ID)
    limit = Resources(memory=64 * MIB)
    sandbox = provider.open(SandboxSpec(RUN_ID, "secrets", limit, limit))
    try:
        await sandbox.start()
        result = await shell(sandbox, "cat /etc/passwd >/dev/null && ! cat /etc/shadow")
    finally:
        await sandbox.stop()
    assert succeeded(result)


def small_system(folder):
    """A root folder with Python, a shell and little else, copied from this machine with the libraries they need."""
    python = Path("/usr/bin/python3").resolve()
    library = Path("/usr/lib") / python.name
    skip = shutil.ignore_patterns("dist-packages", "test", "config-*", "__pycache__", "idlelib", "lib2to3", "ensurepip")
    shutil.copytree(library, folder / library.relative_to("/"), ignore=skip)
    programs = [python, *(Path("/usr/bin", name) for name in ("sh", "touch", "ls"))]
    needed = subprocess.run(
        ["ldd", *map(str, programs), *map(str, library.glob("lib-dynload/*.so"))],
        capture_output=True,
        text=True,
        check=False,
    )
    libraries = {Path(word) for word in needed.stdout.split() if word.startswith("/") and not word.endswith(":")}
    for path in [*programs, *libraries]:
        target = folder / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (folder / "usr/bin/python3").symlink_to(python.name)
    if not (folder / "bin").exists():
        (folder / "bin").symlink_to("usr/bin")
    (folder / "marker").mkdir()


@pytest.mark.sandbox
async def test_a_folder_can_stand_in_for_the_hosts_system(tmp_path):
    small_system(tmp_path / "rootfs")
    provider = make_provider(SCRATCH, rootfs=tmp_path / "rootfs")
    await provider.prepare(RUN_ID)
    limit = Resources(memory=64 * MIB)
    sandbox = provider.open(SandboxSpec(RUN_ID, "rootfs", limit, limit))
    try:
        await sandbox.start()
        result = await shell(sandbox, "touch /marker/x /tmp/y /app/z && pwd && ls / /etc")
    finally:
        await sandbox.stop()
    assert succeeded(result)
    assert b"marker" in result.stdout
    assert b"passwd" not in result.stdout
    assert not (tmp_path / "rootfs" / "marker" / "x").exists()
    assert provider.host().view.rootfs == str(tmp_path / "rootfs")


@pytest.mark.sandbox
def test_doctor_proves_that_a_limit_kills():
    checks = {check.name: check for check in make_provider(SCRATCH).doctor()}
    assert all(check.ok for check in checks.values() if check.required), checks
    assert checks["memory limit"].found == "killed at 32Mi"
    assert all(check.remedy for check in checks.values() if not check.ok)


def test_doctor_names_what_is_missing_and_the_remedy(tmp_path):
    provider = LocalProvider(scratch=tmp_path, cgroup_parent="/no/such/cgroup/that/could/exist")
    with pytest.raises(UnsuitableError, match="cannot be used"):
        provider.host()
    failed = [check for check in provider.doctor() if not check.ok]
    assert [check.name for check in failed] == ["cgroup"]
    assert "systemd-run --user --scope -p Delegate=yes" in failed[0].remedy
    assert provider.capabilities().memory == "none"


@pytest.mark.sandbox
async def test_memory_for_a_disk_is_refused():
    if not Path("/dev/shm").is_dir():
        pytest.skip("no tmpfs here")
    scratch = Path(f"/dev/shm/raysweep-test-{os.getpid()}")
    try:
        with pytest.raises(UnsuitableError, match="tmpfs"):
            await make_provider(scratch).prepare(RUN_ID)
    finally:
        remove_tree(scratch)
