"""Archives of tasks, and their copies on a machine: what goes in comes out, and a copy that was changed is mended."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import threading
from pathlib import Path

import pytest

from raysweep.errors import InputError
from raysweep.tasks.archive import pack_task, unpack_task
from raysweep.tasks.copies import UNUSED_S, TaskCopies, cache_root
from raysweep.tasks.folder import changed_entries, folder_digest
from raysweep.tasks.harbor import read_task
from raysweep.units import Resources
from support.task_folders import make_task


@pytest.fixture
def task(tmp_path):
    """A task with everything that archives get wrong."""
    folder = make_task(tmp_path, files={"tests/helper.py": "x = 1\n"})
    (folder / "tests" / "test.sh").chmod(0o755)
    (folder / "environment" / "key").write_text("k")
    (folder / "environment" / "key").chmod(0o600)
    (folder / "environment" / "empty").mkdir()
    (folder / "environment" / "link").symlink_to("/etc/hostname")
    (folder / "environment" / "set").write_text("s")
    (folder / "environment" / "set").chmod(0o4755)
    (folder / ".DS_Store").write_text("finder")
    (folder / "tests" / "__pycache__").mkdir()
    (folder / "tests" / "__pycache__" / "helper.cpython-311.pyc").write_bytes(b"stale")
    Path(os.fsdecode(bytes(folder) + b"/environment/caf\xe9.txt")).write_text("z")
    return folder


def modes(folder):
    return {p.relative_to(folder).as_posix(): p.lstat().st_mode for p in folder.rglob("*")}


def test_what_counts_of_a_task_comes_out_as_it_went_in_and_nothing_else(task, tmp_path):
    unpack_task(pack_task(task), folder_digest(task), tmp_path / "copy")
    shutil.rmtree(task / "tests" / "__pycache__")
    (task / ".DS_Store").unlink()
    assert modes(tmp_path / "copy") == modes(task)
    assert folder_digest(tmp_path / "copy") == folder_digest(task)
    assert changed_entries(task, tmp_path / "copy") == []


def test_the_same_task_gives_the_same_bytes_wherever_it_lies(task, tmp_path):
    other = tmp_path / "elsewhere" / "two"
    shutil.copytree(task, other, symlinks=True)
    os.utime(other / "task.toml", (1, 1))
    assert pack_task(other) == pack_task(task)


def test_a_damaged_archive_is_named_and_never_a_task(task, tmp_path):
    archive, digest = pack_task(task), folder_digest(task)
    for number, damaged in enumerate((b"", b"nonsense", archive[: len(archive) // 2], archive[:-30] + bytes(30))):
        with pytest.raises(InputError, match="damaged"):
            unpack_task(damaged, digest, tmp_path / f"copy-{number}")
    with pytest.raises(InputError, match="damaged"):
        unpack_task(archive, "sha256:" + "0" * 64, tmp_path / "other")


@pytest.mark.parametrize("name", ["../out", "/out", "link/out"])
def test_an_archive_cannot_write_outside(tmp_path, name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(InputError, match="outside"):
        unpack_task(gzip.compress(buffer.getvalue()), "sha256:0", tmp_path / "copy")
    assert not (tmp_path / "out").exists()


def test_changes_are_named_by_their_files(task, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(task, copy, symlinks=True)
    (copy / "tests" / "test.sh").write_text("echo 0")
    (copy / "environment" / "set").chmod(0o644)
    (copy / "environment" / "new").write_text("n")
    (copy / "environment" / "link").unlink()
    (copy / "notes.md~").write_text("left by an editor")
    assert changed_entries(task, copy) == ["environment/link", "environment/new", "environment/set", "tests/test.sh"]


@pytest.fixture
def copies(task, tmp_path):
    """Copies of one task, and how often its archive was asked for."""
    archive, asked = pack_task(task), []

    def fetch(digest):
        asked.append(digest)
        return archive

    return TaskCopies(fetch, tmp_path / "cache"), asked


def test_a_copy_is_fetched_once_and_again_only_when_it_was_changed(task, tmp_path, copies):
    kept, asked = copies
    digest = folder_digest(task)
    folder = kept.folder(digest)
    assert kept.folder(digest) == folder
    assert len(asked) == 1
    (folder / "tests" / "test.sh").write_text("echo 1 > /logs/verifier/reward.txt # mine\n")
    assert folder_digest(kept.folder(digest)) == digest
    (folder / "task.toml").unlink()  # as a cleaner of temporary folders does
    assert folder_digest(kept.folder(digest)) == digest
    shutil.rmtree(folder)
    assert folder_digest(kept.folder(digest)) == digest
    assert len(asked) == 4
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [folder.name]


def test_another_process_takes_the_copy_that_is_there(task, tmp_path, copies):
    copies[0].folder(folder_digest(task))
    never = TaskCopies({}.__getitem__, tmp_path / "cache")
    assert never.folder(folder_digest(task)) == copies[0].folder(folder_digest(task))


def test_many_at_once_share_one_copy(task, tmp_path):
    archive, digest, seen = pack_task(task), folder_digest(task), []
    all_of_them = [TaskCopies(lambda _: archive, tmp_path / "cache") for _ in range(8)]
    threads = [threading.Thread(target=lambda c=c: seen.append(folder_digest(c.folder(digest)))) for c in all_of_them]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [digest] * 8
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_copies_that_nobody_used_for_a_month_make_room(task, tmp_path, copies):
    kept, _ = copies
    digest = folder_digest(task)
    kept.folder(digest)
    old, young = tmp_path / "cache" / "old", tmp_path / "cache" / "young"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, old.stat().st_mtime - UNUSED_S - 60))
    shutil.rmtree(kept.folder(digest))
    kept.folder(digest)
    assert (old.exists(), young.exists()) == (False, True)


def test_the_cache_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYSWEEP_SCRATCH", str(tmp_path / "scratch"))
    root = cache_root()
    assert root.parent == tmp_path / "scratch"
    assert root.stat().st_mode & 0o777 == 0o700
    root.chmod(0o777)  # somebody else could put tasks there
    assert cache_root() != root


def test_a_large_task_is_hashed_once_whoever_asks(task, tmp_path, copies, monkeypatch):
    digest, hashed = folder_digest(task), []
    monkeypatch.setattr("raysweep.tasks.copies.folder_digest", lambda folder: hashed.append(folder) or digest)
    copies[0].folder(digest)
    TaskCopies({}.__getitem__, tmp_path / "cache").folder(digest)
    assert hashed == []  # unpacking checked it


def test_a_task_that_no_run_could_keep_is_named(task):
    with (task / "environment" / "weights").open("wb") as file:
        file.truncate(3 << 30)  # sparse: no disk is used
    problems = read_task(task, Resources())
    assert [p.message for p in problems] == ["task one holds 3Gi, more than 2Gi"]
    assert "fetch it in environment/setup.sh" in problems[0].remedy
