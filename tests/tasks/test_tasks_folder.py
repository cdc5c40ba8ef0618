from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import tarfile
from pathlib import Path

import pytest

from raysweep.tasks.folder import folder_digest, odd_entries, tar_folder


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "first"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "deep" / "er" / "data").write_bytes(bytes(range(256)))
    (root / "link").symlink_to("deep/er/data")
    return root


def test_digest_and_archive_do_not_depend_on_place_time_or_caches(folder, tmp_path):
    other = tmp_path / "elsewhere" / "second"
    shutil.copytree(folder, other, symlinks=True)
    os.utime(other / "run.sh", (1, 1))
    assert folder_digest(other) == folder_digest(folder)
    assert tar_folder(other) == tar_folder(folder)


def test_running_the_tests_by_hand_changes_no_digest(folder):
    (folder / "deep" / "helper.py").write_text("x = 1\n")
    before = folder_digest(folder)
    (folder / "deep" / "__pycache__").mkdir()
    assert folder_digest(folder) == before
    (folder / "deep" / "__pycache__" / "helper.cpython-312.pyc").write_bytes(b"x")
    assert folder_digest(folder) == before


def test_bytecode_without_its_source_is_content(folder):
    before = folder_digest(folder)
    (folder / "puzzle.pyc").write_bytes(b"x")
    with_module = folder_digest(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "gone.cpython-312.pyc").write_bytes(b"x")
    assert len({before, with_module, folder_digest(folder)}) == 3
    assert {"puzzle.pyc", "__pycache__/gone.cpython-312.pyc"} <= names_in(folder)


@pytest.mark.parametrize(
    "name", [".DS_Store", "deep/.DS_Store", "._run.sh", "Thumbs.db", "run.sh~", ".run.sh.swp", ".#run.sh", "#run.sh#"]
)
def test_what_editors_and_file_managers_leave_is_no_part_of_a_task(folder, name):
    digest, archive = folder_digest(folder), tar_folder(folder)
    (folder / name).write_text("x")
    assert folder_digest(folder) == digest
    assert tar_folder(folder) == archive


def test_an_empty_folder_stays_one_whatever_a_file_manager_leaves_in_it(folder):
    before = folder_digest(folder)
    (folder / "empty").mkdir()
    with_empty = folder_digest(folder)
    (folder / "empty" / ".DS_Store").write_text("x")
    assert before != with_empty == folder_digest(folder)


def test_modes_empty_folders_and_odd_names_are_kept(folder, tmp_path):
    (folder / "key").write_text("k")
    (folder / "key").chmod(0o600)
    (folder / "shut").mkdir(mode=0o700)
    (folder / "set").write_text("s")
    (folder / "set").chmod(0o4755)
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.txt")).write_text("x")
    (folder / " new\nline \u00e9").write_text("y")
    with tarfile.open(fileobj=io.BytesIO(tar_folder(folder))) as archive:
        modes = {m.name: m.mode for m in archive}
    assert (modes["key"], modes["shut"], modes["set"], modes["run.sh"]) == (0o600, 0o700, 0o4755, 0o755)
    assert {os.fsdecode(b"caf\xe9.txt"), " new\nline \u00e9"} <= modes.keys()
    with tarfile.open(fileobj=io.BytesIO(tar_folder(folder))) as archive:
        archive.extractall(tmp_path / "out", filter="fully_trusted")
    assert folder_digest(tmp_path / "out") == folder_digest(folder)


def test_pipes_and_sockets_are_named_and_never_read(folder):
    os.mkfifo(folder / "deep" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(folder):
        listening.bind("sock")
        assert dict(odd_entries(folder)) == {"deep/pipe": "a named pipe", "sock": "a socket"}


def names_in(folder):
    with tarfile.open(fileobj=io.BytesIO(tar_folder(folder))) as archive:
        return set(archive.getnames())


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "run.sh").chmod(0o644),
        lambda root: (root / "run.sh").write_text("#!/bin/sh\n\n"),
        lambda root: (root / "run.sh").rename(root / "go.sh"),
        lambda root: (root / "deep" / "er" / "data").unlink(),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("run.sh")),
        lambda root: (root / "new").write_text(""),
    ],
)
def test_every_change_of_content_changes_the_digest(folder, change):
    before, archive = folder_digest(folder), tar_folder(folder)
    change(folder)
    assert folder_digest(folder) != before
    assert tar_folder(folder) != archive


def test_bytes_cannot_move_between_names_and_contents(tmp_path):
    for name, file, text in (("a", "x", "yz"), ("b", "xy", "z")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    assert folder_digest(tmp_path / "a") != folder_digest(tmp_path / "b")


def test_an_archive_unpacks_to_the_same_folder(folder, tmp_path):
    with tarfile.open(fileobj=io.BytesIO(tar_folder(folder))) as archive:
        assert {(m.uid, m.gid, m.mtime) for m in archive} == {(0, 0, 0)}
        archive.extractall(tmp_path / "out", filter="tar")
    assert folder_digest(tmp_path / "out") == folder_digest(folder)


def test_what_is_left_out_is_left_out_with_all_below_it(folder):
    with tarfile.open(fileobj=io.BytesIO(tar_folder(folder, leave_out=("deep", "link")))) as archive:
        assert archive.getnames() == ["run.sh"]
