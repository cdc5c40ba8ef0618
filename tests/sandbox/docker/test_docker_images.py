"""Images: by policy, built from a Dockerfile, and what of them reaches a task's commands."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.engine import ask
from raysweep.sandbox.docker.images import BUILT, Images, look_up
from raysweep.sandbox.docker.provider import DockerProvider

pytestmark = pytest.mark.docker
ABSENT = "localhost/raysweep-no-such-image:1"


@pytest.fixture
def folder(tmp_path, test_image):
    """A build context that nobody has built before."""

    def make(*lines):
        unique = uuid.uuid4().hex
        (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {test_image}", f"LABEL unique={unique}", *lines]) + "\n")
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data/input.txt").write_text("input\n")
        return str(tmp_path)

    return make


async def run(provider, spec, script, **changes):
    """(stdout of a shell script, Admitted) in a sandbox of its own."""
    one = spec(**changes)
    await provider.prepare(one.run_id)
    sandbox = provider.open(one)
    try:
        admitted = await sandbox.start()
        result = await sandbox.exec("run", ["sh", "-c", script], cwd="/")
        assert result.facts.exit == 0, result
        return result.stdout.decode(), admitted
    finally:
        await sandbox.stop()


async def test_an_image_that_is_there_is_not_pulled_and_its_digest_is_told(provider, spec, engine, test_image):
    _, admitted = await run(provider, spec, "true")
    found = await look_up(engine, test_image)
    assert admitted.image_pulled is False
    assert admitted.node["image"] == test_image
    assert admitted.node["image_digest"] == found.digest


@pytest.mark.parametrize(("pull", "words"), [("never", "docker pull"), ("missing", "cannot be pulled")])
async def test_an_image_that_cannot_be_had_is_the_image_cause(test_image, spec, engine_traces, pull, words):
    provider = DockerProvider(image=test_image, pull=pull)
    await provider.prepare("run")
    before = engine_traces()
    sandbox = provider.open(spec(image=ABSENT))
    with pytest.raises(SandboxError, match=words) as caught:
        await sandbox.start()
    await sandbox.stop()
    assert caught.value.cause == "image"
    assert engine_traces() == before


@pytest.mark.parametrize("name", ["UPPER CASE", "a:b:c", "-"])
async def test_an_invalid_name_is_the_image_cause(engine, name):
    with pytest.raises(SandboxError) as caught:
        await Images().named(engine, name)
    assert caught.value.cause == "image"


async def test_a_dockerfile_is_built_once_and_found_again(provider, spec, engine, folder, test_image, engine_traces):
    context = folder("COPY data /data", "RUN cp /data/input.txt /made.txt && echo ran >> /made.txt", "ENV KIND=built")
    before = engine_traces()
    text, admitted = await run(provider, spec, "cat /made.txt; echo $KIND", build_context=context)
    assert text == "input\nran\nbuilt\n"
    assert admitted.image_pulled is True
    name = admitted.node["image"]
    assert name.startswith(f"{BUILT}:")
    _, again = await run(provider, spec, "true", build_context=context)
    assert again.image_pulled is False
    other = DockerProvider(image=test_image, pull="never")
    _, found = await run(other, spec, "true", build_context=context)
    assert found.image_pulled is False
    assert found.node["image_digest"] == again.node["image_digest"] == admitted.node["image_digest"]
    await ask(engine.docker.images.delete(name, force=True))
    assert engine_traces() == before


async def test_a_build_that_many_want_runs_once(engine, folder):
    context = folder("RUN sleep 1")
    images = Images()
    got = await asyncio.gather(*(images.built(engine, context, 120.0) for _ in range(4)))
    assert sorted(image.pulled for image in got) == [False, False, False, True]
    assert len({image.id for image in got}) == 1
    await ask(engine.docker.images.delete(got[0].name, force=True))


async def test_a_failed_build_says_where_and_leaves_nothing(engine, folder, engine_traces):
    before = engine_traces()
    context = folder("RUN echo fine", "RUN echo complaint >&2; exit 3")
    with pytest.raises(SandboxError) as caught:
        await Images().built(engine, context, 120.0)
    assert caught.value.cause == "image"
    assert "exit 3" in caught.value.detail
    assert "complaint" in caught.value.detail
    assert engine_traces() == before


async def test_a_build_that_takes_too_long_is_ended_by_the_engine_too(engine, folder, until, engine_traces):
    before = engine_traces()
    context = folder("RUN sleep 600")
    with pytest.raises(SandboxError, match="within 15 s") as caught:
        await Images().built(engine, context, 15.0)  # time enough to reach the last step
    assert caught.value.cause == "image"

    async def quiet():
        return not await engine.docker.containers.list(all=True)

    await until(quiet)
    assert engine_traces() == before


async def test_a_context_that_is_not_there_is_the_image_cause(engine, tmp_path):
    with pytest.raises(SandboxError) as caught:
        await Images().built(engine, str(tmp_path / "absent"), 60.0)
    assert caught.value.cause == "image"


async def test_folders_and_volumes_of_an_image_stay_as_they_are_and_commands_are_roots(
    provider, spec, engine, folder, engine_traces
):
    context = folder(
        "RUN mkdir -p /app /logs/agent && chown 1234:1234 /app && chmod 700 /app && touch /app/there",
        "VOLUME /keep",
        "USER 1234",
    )
    before = engine_traces()
    script = "id -u; stat -c '%u %a' /app; ls /app; stat -c %a /tests /logs/verifier; touch /keep 2>&1 || echo ok"
    text, admitted = await run(provider, spec, script, build_context=context)
    assert text.split("\n")[:5] == ["0", "1234 700", "there", "755", "755"]
    await ask(engine.docker.images.delete(admitted.node["image"], force=True))
    assert engine_traces() == before
