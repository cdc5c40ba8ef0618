"""Build contexts: the same bytes for the same content, .dockerignore as `docker build` obeys it."""

from __future__ import annotations

import io
import tarfile

import pytest

from raysweep.sandbox.docker.context import is_ignored, pack_context, parse_ignore

# (lines of .dockerignore, path, ignored): the examples of Docker's documentation, and corners of its matching.
CASES = [
    (["*/temp*"], "somedir/temporary.txt", True),
    (["*/temp*"], "temporary.txt", False),
    (["*/*/temp*"], "somedir/subdir/temporary.txt", True),
    (["temp?"], "tempa", True),
    (["temp?"], "temp", False),
    (["**/*.go"], "a/b/c.go", True),
    (["**/*.go"], "c.go", True),
    (["**"], "any/thing", True),
    (["a/**/z"], "a/z", True),
    (["a/**/z"], "a/b/c/z", True),
    (["*.md", "!README.md"], "README.md", False),
    (["*.md", "!README.md"], "NOTES.md", True),
    (["!README.md", "*.md"], "README.md", True),
    (["node_modules"], "node_modules/deep/file", True),
    (["/leading"], "leading", True),
    (["trailing/"], "trailing/file", True),
    (["./dot/../here"], "here", True),
    (["# comment", "", "  spaced  "], "spaced", True),
    (["# comment"], "# comment", False),
    (["[ab].txt"], "a.txt", True),
    (["[ab].txt"], "c.txt", False),
    ([r"\*.txt"], "*.txt", True),
    ([r"\*.txt"], "x.txt", False),
    (["a.b"], "aXb", False),
    (["."], "anything", False),
    (["folder", "!folder/kept"], "folder/kept", False),
    (["folder", "!folder/kept"], "folder/other", True),
    (["Dockerfile", ".dockerignore", "*"], "Dockerfile", False),
    (["Dockerfile", ".dockerignore", "*"], ".dockerignore", False),
]


@pytest.mark.parametrize(("lines", "path", "ignored"), CASES)
def test_ignore_rules(lines, path, ignored):
    assert is_ignored(path, parse_ignore("\n".join(lines))) is ignored


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "sub/empty").mkdir(parents=True)
    (tmp_path / "sub/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "sub/run.sh").chmod(0o700)
    (tmp_path / "secret.txt").write_text("no")
    (tmp_path / "link").symlink_to("sub/run.sh")
    (tmp_path / "folderlink").symlink_to("sub")
    (tmp_path / ".dockerignore").write_text("secret*\n")
    return tmp_path


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: one for one in tar}


def test_a_context_has_files_folders_and_links_but_not_what_is_ignored(folder):
    found = members(pack_context(folder))
    assert set(found) == {".dockerignore", "Dockerfile", "folderlink", "link", "sub", "sub/empty", "sub/run.sh"}
    assert found["sub/run.sh"].mode == 0o700
    assert found["Dockerfile"].mode == 0o644
    assert found["folderlink"].issym()
    assert found["link"].linkname == "sub/run.sh"
    assert {(one.uid, one.gid, one.mtime) for one in found.values()} == {(0, 0, 0)}


def test_the_bytes_depend_on_content_only(folder):
    before = pack_context(folder)
    (folder / "sub/run.sh").touch()
    (folder / "secret.txt").write_text("changed")
    assert pack_context(folder) == before
    (folder / "sub/run.sh").write_text("#!/bin/sh\ntrue\n")
    assert pack_context(folder) != before
