"""Digests on a real engine: a run keeps its image when its tag moves, and refuses a moved tag that it could not pin."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_registry import FakeRegistry

from raysweep.record.reader import read_ledger
from raysweep.sandbox.docker.engine import ask
from raysweep.sandbox.docker.images import look_up, repo_digest
from raysweep.sandbox.docker.payload import supervisor_archive
from raysweep.sandbox.docker.scratch import ARCHITECTURES

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 240.0
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SWEEP = """\
name: pins
seed: 3
tasks: {{source: tasks}}
models: [{{name: m, agent: nop}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: 2
platform_retries: {{image: 0}}
probes: {{enabled: false}}
sandbox: {{kind: docker, image: '{image}', pull: {pull}, images: {images}}}
runner: {{concurrency: 1, executor: inprocess}}
"""
FILES = {
    "task.toml": "[agent]\ntimeout_sec = 60\n[environment]\ncpus = 1\nmemory_mb = 64\n",
    "instruction.md": "Do nothing.\n",
    "tests/test.sh": "#!/bin/sh\ntrue\n",
}


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


class Tagged:
    """A tag in a registry, whose image holds nothing but the supervisor, and a sweep on it."""

    def __init__(self, folder: Path, registry: FakeRegistry, architecture: str) -> None:
        self.folder, self.registry, self.architecture = folder, registry, architecture
        self.repository = f"{registry.host}/tests/{uuid.uuid4().hex[:12]}"
        self.name = f"{self.repository}:1"
        for path, text in FILES.items():
            place = folder / "tasks" / "idle" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def move(self, version: str) -> str:
        """Let the tag mean another image; its digest."""
        config = {"architecture": self.architecture, "os": "linux", "config": {"Labels": {"version": version}}}
        path = self.repository.partition("/")[2]
        return self.registry.push(path, "1", config, supervisor_archive(self.architecture))

    def run(self, *words: str, pull: str = "missing", images: str = "resolve") -> subprocess.CompletedProcess[str]:
        config = self.folder / "sweep.yaml"
        config.write_text(SWEEP.format(image=self.name, pull=pull, images=images))
        command = [RAYSWEEP, "run", str(config), "--run-dir", str(self.folder / "run"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def attempts(self) -> list[dict]:
        """What each attempt ran, and what became of it."""
        rows = read_ledger(self.folder / "run").table.to_pylist()
        return [{**dict(row["node"] or ()), "cause": row["cause"], "detail": row["detail"]} for row in rows]

    def planned(self) -> set[tuple[str | None, str | None]]:
        rows = pq.read_table(self.folder / "run" / "plan.parquet", columns=["image", "image_digest"]).to_pylist()
        return {(row["image"], row["image_digest"]) for row in rows}


@pytest.fixture
async def tagged(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    machine = (await engine.info())["Architecture"]
    with FakeRegistry() as registry:
        made = Tagged(tmp_path, registry, ARCHITECTURES.get(machine, machine))
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
