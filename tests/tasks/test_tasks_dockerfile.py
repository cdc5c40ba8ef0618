from __future__ import annotations

import pytest

from raysweep.tasks.dockerfile import build_need, instructions


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "setup.sh").write_text("#!/bin/sh\n")
    (tmp_path / "input.txt").write_text("x")
    (tmp_path / "lib").mkdir()
    return tmp_path


def need(environment, text):
    (environment / "Dockerfile").write_text(text)
    return build_need(environment, None)


@pytest.mark.parametrize(
    "text",
    [
        "FROM debian\nCOPY . /app\nRUN /app/setup.sh\n",
        "FROM debian\nWORKDIR /app\nCOPY ./ ./\nRUN bash setup.sh\n",
        "FROM debian AS base\n# why\nCOPY . /app/\nRUN sh \\\n  /app/setup.sh\n",
        "FROM debian\nCOPY setup.sh input.txt /app/\nCOPY lib /app/lib\nRUN bash /app/setup.sh\n",
    ],
)
def test_setup_alone_can_stand_in(environment, text):
    steps, reason, _ = need(environment, text)
    assert (steps, reason) == ("setup", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM debian\nRUN apt-get install -y gcc\n", "Dockerfile:2: RUN apt-get install -y gcc"),
        ("FROM debian\nCOPY . /app\nRUN /app/setup.sh && rm x\n", "Dockerfile:3"),
        ("FROM a\nFROM b\nCOPY . /app\n", "Dockerfile:2: FROM b"),
        ("FROM a\nCOPY . /data\n", "Dockerfile:2"),
        ("FROM a\nCOPY lib /app/\nRUN /app/setup.sh\n", "Dockerfile:2"),
        ("FROM a\nCOPY --chown=1 . /app\n", "Dockerfile:2"),
        ("FROM a\nENV X=1\nCOPY . /app\n", "Dockerfile:2: ENV X=1"),
        ("FROM a\nRUN /app/setup.sh\nCOPY . /app\n", "Dockerfile:2"),
        ("FROM a\nCOPY . /app\nRUN /app/setup.sh\nCOPY input.txt /app/\n", "Dockerfile:4"),
        ("FROM a\nCOPY setup.sh /app/\nRUN /app/setup.sh\n", "does not copy input.txt, lib"),
        ("FROM a\nCOPY . /app\n", "copies setup.sh but does not run it"),
        ("FROM a\nWORKDIR /srv\nCOPY . .\nRUN bash setup.sh\n", "Dockerfile:3"),
    ],
)
def test_anything_else_needs_an_image_and_says_where(environment, text, reason):
    steps, why, _ = need(environment, text)
    assert steps == "image"
    assert why is not None
    assert reason in why


def test_a_stated_image_needs_that_image(environment):
    assert build_need(environment, "python:3")[:2] == ("image", "its task.toml names the image python:3")


def test_without_a_dockerfile_setup_is_all_there_is(environment):
    assert build_need(environment, None) == ("setup", None, None)
    (environment / "setup.sh").unlink()
    assert build_need(environment, None) == ("none", None, None)


def test_only_a_base_image_needs_nothing(environment):
    assert need(environment, "FROM debian\nWORKDIR /srv/x/\n") == ("none", None, "/srv/x")


def test_instructions_join_lines_and_skip_comments():
    text = "FROM a\n\n# c\nrun one \\\n# between\n  two\nCMD x\n"
    assert instructions(text) == [(1, "FROM", "a"), (4, "RUN", "one two"), (7, "CMD", "x")]


@pytest.mark.parametrize(
    ("text", "workdir"),
    [
        ("FROM a\nRUN make\nWORKDIR /srv/place\nUSER 1000\n", "/srv/place"),
        ("FROM a\nWORKDIR /srv\nRUN make\nWORKDIR place/../other\n", "/srv/other"),
        ('FROM a\nWORKDIR "/srv/some where"\nRUN make\n', "/srv/some where"),
        ("FROM a AS one\nWORKDIR /one\nFROM --platform=linux/amd64 b AS two\nRUN make\n", None),
        ("FROM a AS one\nWORKDIR /one\nFROM one\nRUN make\n", "/one"),
        ("FROM a\nENV WHERE=/srv\nWORKDIR $WHERE\nWORKDIR below\n", None),
        ("WORKDIR /srv\n", "/srv"),
    ],
)
def test_the_working_directory_is_that_in_which_the_last_stage_ends(tmp_path, text, workdir):
    (tmp_path / "Dockerfile").write_text(text)
    assert build_need(tmp_path, None)[2] == workdir
