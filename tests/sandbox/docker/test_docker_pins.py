"""Digests on a real engine: a run keeps its image when its tag moves, and refuses a moved tag that it could not pin."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from raysweep.sandbox.docker.engine import ask
from raysweep.sandbox.docker.images import look_up, repo_digest
from raysweep.sandbox.docker.scratch import ARCHITECTURES
from support.fake_registry import FakeRegistry
from support.tagged_sweeps import Tagged

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("name", "told", "digest"),
    [
        ("python:3.12", [f"python@{A}"], A),
        ("docker.io/library/python:3.12", [f"other/python@{B}", f"python@{A}"], A),
        ("python:3.12", [f"docker.io/library/python@{A}"], A),
        ("localhost/task:dev", [], None),
        ("localhost/task:dev", [f"python@{A}", f"<none>@{B}"], None),
        (f"python@{B}", [f"python@{A}", f"python@{B}"], B),
        ("sha256:0123", [f"python@{A}"], None),
    ],
)
def test_the_digest_of_the_names_own_repository_counts(name, told, digest):
    assert repo_digest(name, told) == digest


@pytest.fixture
async def tagged(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    machine = (await engine.info())["Architecture"]
    with FakeRegistry() as registry:
        made = Tagged(tmp_path, registry, "kind: docker", ARCHITECTURES.get(machine, machine))
        yield made
    for image in await engine.docker.images.list():
        if any(text.startswith(made.repository) for text in image.get("RepoDigests") or ()):
            await ask(engine.docker.images.delete(image["Id"], force=True))


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.parametrize("pull", ["missing", "always"])
async def test_a_run_keeps_its_digest_when_the_tag_moves(tagged, engine, pull):
    first = tagged.move("first")
    pinned = f"{tagged.repository}@{first}"
    pilot = tagged.run("--blocks", "1", pull=pull)
    assert pilot.returncode == 0, pilot.stderr
    assert tagged.planned() == {(tagged.name, first)}
    second = tagged.move("second")
    await ask(engine.docker.images.pull(tagged.name))
    assert (await look_up(engine, tagged.name)).repo_digest == second, "the engine's tag moved, too"
    rest = tagged.run(pull=pull)
    assert rest.returncode == 0, rest.stderr
    assert f"moved since the run was made: {tagged.name} ({first[:19]} -> {second[:19]})" in rest.stderr
    attempts = tagged.attempts()
    assert len(attempts) == 4
    assert {(one["image"], one["image_digest"]) for one in attempts} == {(pinned, first)}
    assert tagged.planned() == {(tagged.name, first)}


@pytest.mark.docker
@pytest.mark.e2e
async def test_the_engines_own_copy_is_what_a_run_pins(tagged, engine):
    first = tagged.move("first")
    await ask(engine.docker.images.pull(tagged.name))
    tagged.move("second")
    asked = len(tagged.registry.asked)
    done = tagged.run(pull="never")
    assert done.returncode == 0, done.stderr
    assert tagged.planned() == {(tagged.name, first)}
    assert {one["image_digest"] for one in tagged.attempts()} == {first}
    assert len(tagged.registry.asked) == asked, "nobody asks a registry for what is there"


@pytest.mark.docker
@pytest.mark.e2e
async def test_an_image_that_only_the_engine_has_stays_a_tag_and_is_void_once_it_is_another(tagged, engine, test_image):
    tagged.name = f"localhost/raysweep-{uuid.uuid4().hex[:12]}:dev"
    repository = tagged.name.partition(":")[0]
    try:
        await ask(engine.docker.images.tag(test_image, repository, tag="dev"))
        pilot = tagged.run("--blocks", "1")
        assert pilot.returncode == 0, pilot.stderr
        assert pilot.stderr.count("stays a tag") == 1
        assert f"{tagged.name}: only this engine has it" in pilot.stderr
        assert tagged.planned() == {(tagged.name, None)}
        before = (await look_up(engine, tagged.name)).id
        other = f"{tagged.repository}:1"
        tagged.move("other")
        await ask(engine.docker.images.pull(other))
        await ask(engine.docker.images.tag(other, repository, tag="dev"))
        after = (await look_up(engine, tagged.name)).id
        rest = tagged.run()
        assert rest.returncode == 3, "its block has no complete run"
        attempts = tagged.attempts()
        assert Counter(one["cause"] == "image" for one in attempts)[False] == 2
        void = [one for one in attempts if one["cause"] == "image"]
        assert void
        assert all(f"the tag {tagged.name} moved from {before} to {after}" in one["detail"] for one in void)
        await ask(engine.docker.images.tag(test_image, repository, tag="dev"))
        again = tagged.run()
        assert again.returncode == 0, "put back, the run ends"
    finally:
        await ask(engine.docker.images.delete(tagged.name, force=True))


@pytest.mark.docker
@pytest.mark.e2e
async def test_a_required_digest_that_cannot_be_had_refuses_the_run(tagged):
    refused = tagged.run(images="require")
    assert refused.returncode == 4, refused.stderr
    assert "does not have it" in refused.stderr
    assert not (tagged.folder / "run").exists()
