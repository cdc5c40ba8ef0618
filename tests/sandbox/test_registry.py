"""Digests from a registry over its HTTP API: the token flow, credentials, busy and broken registries."""

from __future__ import annotations

import base64
import json
import socket

import pytest

from raysweep.sandbox import registry as module
from raysweep.sandbox.images import parse_name
from raysweep.sandbox.registry import Registries, docker_auths
from support.fake_registry import FakeRegistry

INDEX = b'{"schemaVersion": 2, "manifests": []}'
USER = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSES_S", (0.0, 0.0))


async def ask(name, auths=None):
    async with Registries(auths or {}) as registries:
        return await registries.digest(parse_name(name))


@pytest.mark.parametrize("access", ["open", "token"])
async def test_a_tag_is_its_digest_and_nothing_is_pulled(access):
    with FakeRegistry(access) as fake:
        digest = fake.tag("team/task", "1", INDEX)
        assert (await ask(f"{fake.host}/team/task:1")).digest == digest
        assert fake.asked == [("HEAD", "team/task", "1")]
        assert "oci.image.index" in fake.accepted[0]
        assert fake.tokens == ([("tests", "repository:team/task:pull")] if access == "token" else [])


async def test_a_moved_tag_has_another_digest():
    with FakeRegistry() as fake:
        first = fake.tag("task", "latest", INDEX)
        assert (await ask(f"{fake.host}/task")).digest == first
        second = fake.tag("task", "latest", INDEX + b"\n")
        assert (await ask(f"{fake.host}/task")).digest == second != first


async def test_a_name_with_a_digest_is_asked_of_nobody():
    digest = "sha256:" + "b" * 64
    assert (await ask(f"registry.invalid/task@{digest}")).digest == digest


async def test_a_registry_that_does_not_tell_the_digest_is_read():
    with FakeRegistry(tells_digest=False) as fake:
        digest = fake.tag("task", "1", INDEX)
        assert (await ask(f"{fake.host}/task:1")).digest == digest


@pytest.mark.parametrize("access", ["private", "basic"])
async def test_credentials_of_dockers_configuration_open_a_private_one(access, tmp_path):
    with FakeRegistry(access, user=USER) as fake:
        digest = fake.tag("task", "1", INDEX)
        refused = await ask(f"{fake.host}/task:1")
        assert refused.digest is None
        assert "no access" in refused.why
        auth = {"auth": USER.removeprefix("Basic ")}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {fake.host: auth, "elsewhere": {}}}))
        auths = docker_auths({"DOCKER_CONFIG": str(tmp_path)})
        assert auths == {fake.host: USER}
        assert (await ask(f"{fake.host}/task:1", auths)).digest == digest
        other = await ask(f"{fake.host}/task:1", {"elsewhere": USER})
        assert other.digest is None, "credentials go to their own registry only"


@pytest.mark.parametrize("text", [None, "", "[]", '{"auths": 3}', '{"auths": {"a": 3}}'])
def test_a_configuration_that_tells_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert docker_auths({"DOCKER_CONFIG": str(tmp_path)}) == {}


@pytest.mark.parametrize(("busy", "found"), [(2, True), (9, False)])
async def test_a_busy_registry_is_asked_again_a_few_times(busy, found):
    with FakeRegistry(busy=busy) as fake:
        digest = fake.tag("task", "1", INDEX)
        answer = await ask(f"{fake.host}/task:1")
        assert answer.digest == (digest if found else None)
        assert found or "429" in answer.why


async def test_what_is_not_there_says_so():
    with FakeRegistry() as fake:
        answer = await ask(f"{fake.host}/task:1")
        assert answer.digest is None
        assert "does not have it" in answer.why


async def test_a_registry_that_is_away_is_tried_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen: connections are refused
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        async with Registries() as registries:
            first = await registries.digest(parse_name(f"{host}/a:1"))
            assert first.digest is None
            assert "cannot be reached" in first.why
        taken.listen()
        taken.settimeout(0)
        async with Registries(_away={host: "away"}) as registries:
            assert (await registries.digest(parse_name(f"{host}/b:1"))).why == "away"
        with pytest.raises(BlockingIOError):
            taken.accept()


async def test_a_realm_without_tls_is_not_asked_for_a_registry_with_tls(monkeypatch):
    calls = []

    async def call(self, method, url, authorization=None):
        calls.append(str(url))
        return 401, {"WWW-Authenticate": 'Bearer realm="http://example.com/token",service="s"'}, b""

    monkeypatch.setattr(Registries, "_call", call)
    answer = await ask("example.com/task:1", {"example.com": USER})
    assert answer.digest is None
    assert calls == ["https://example.com/v2/task/manifests/1"]
