"""Names of images, taken apart as container runtimes do."""

import pytest

from raysweep.sandbox.images import mirrored, parse_name

SHA = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("python", "docker.io", "library/python", "latest", None),
        ("python:3.12", "docker.io", "library/python", "3.12", None),
        ("docker.io/python:3.12", "docker.io", "library/python", "3.12", None),
        ("index.docker.io/library/python", "docker.io", "library/python", "latest", None),
        ("team/tool:v1", "docker.io", "team/tool", "v1", None),
        ("docker.io/team/tool", "docker.io", "team/tool", "latest", None),
        ("localhost/task:dev", "localhost", "task", "dev", None),
        ("localhost:5000/task", "localhost:5000", "task", "latest", None),
        ("registry:5000/a/b/c:1.2_3-x", "registry:5000", "a/b/c", "1.2_3-x", None),
        ("ghcr.io/a/b", "ghcr.io", "a/b", "latest", None),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", None),
        (f"python@{SHA}", "docker.io", "library/python", "latest", SHA),
        (f"registry:5000/a:1@{SHA}", "registry:5000", "a", "1", SHA),
    ],
)
def test_parts(text, host, path, tag, digest):
    name = parse_name(text)
    assert (name.host, name.path, name.tag, name.digest) == (host, path, tag, digest)


@pytest.mark.parametrize(
    "text",
    ["", "UPPER", "a b", "a:", "a:b:c", "a@sha256:12", f"a@{SHA}0", f"@{SHA}", "/a", "a/", "a//b", "-", "..", "a/../b",
     "example.com/UPPER", "ex ample.com/a", "a:-x", "http://example.com/a"],
)  # fmt: skip
def test_what_is_no_name(text):
    with pytest.raises(ValueError, match="is not the name of an image"):
        parse_name(text)


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("python:3.12", f"python@{SHA}"),
        ("localhost:5000/a", f"localhost:5000/a@{SHA}"),
        ("docker.io/library/python:3.12", f"docker.io/library/python@{SHA}"),
        (f"python:3.12@{SHA}", f"python@{SHA}"),
    ],
)
def test_the_pinned_name_is_as_it_was_written_but_for_the_tag(text, pinned):
    name = parse_name(text)
    assert name.pinned(SHA) == pinned
    assert parse_name(pinned).repository == name.repository


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("python:3.12", "r.example/a/docker.io/library/python:3.12"),
        ("quay.io/x/y", "r.example/a/quay.io/x/y:latest"),
        (f"quay.io/x/y@sha256:{'0' * 64}", f"r.example/a/quay.io/x/y:latest@sha256:{'0' * 64}"),
        ("Not A Name", "Not A Name"),
    ],
)
def test_a_copy_keeps_the_whole_name_below_its_mirror(name, copy):
    assert mirrored(name, "r.example/a/") == copy
