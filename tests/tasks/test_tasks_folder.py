from __future__ import annotations

import io
import os
import shutil
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.tasks.folder import folder_digest, tar_folder, untar_file


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
    (other / "deep" / "__pycache__").mkdir()
    (other / "deep" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (other / "run.sh").chmod(0o700)
    assert folder_digest(other) == folder_digest(folder)
    assert tar_folder(other) == tar_folder(folder)


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


@given(st.binary(max_size=2000))
def test_untar_gives_back_the_bytes_of_the_file(data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("reward.txt")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    assert untar_file(buffer.getvalue()) == data


def test_untar_of_a_folder_is_nothing(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(tmp_path, arcname="x")
    assert untar_file(buffer.getvalue()) is None
