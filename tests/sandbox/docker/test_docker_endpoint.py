"""Where the engine is looked for."""

from __future__ import annotations

import hashlib
import json
import socket

import pytest

from raysweep.errors import UnsuitableError
from raysweep.sandbox.docker.endpoint import find_endpoint, usual_sockets


def context(home, name, host):
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_what_is_given_wins_over_the_environment(tmp_path):
    assert find_endpoint("unix:///given", {"DOCKER_HOST": "tcp://other:1"}, tmp_path) == "unix:///given"


def test_the_environment_wins_over_the_context(tmp_path):
    context(tmp_path, "desktop", "unix:///desktop")
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "desktop"}')
    assert find_endpoint(None, {"DOCKER_HOST": "tcp://host:2375"}, tmp_path) == "tcp://host:2375"
    assert find_endpoint(None, {}, tmp_path) == "unix:///desktop"


def test_a_context_by_name(tmp_path):
    context(tmp_path, "colima", "unix:///colima")
    assert find_endpoint(None, {"DOCKER_CONTEXT": "colima"}, tmp_path) == "unix:///colima"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"currentContext": 3}', '{"currentContext": "gone"}'])
def test_a_configuration_that_says_nothing_leads_to_the_sockets(tmp_path, monkeypatch, text):
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(text)
    path = tmp_path / "run/podman/podman.sock"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr("raysweep.sandbox.docker.endpoint.usual_sockets", lambda *_: [tmp_path / "absent", path])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert find_endpoint(None, {}, tmp_path) == f"unix://{path}"


def test_podman_of_an_ordinary_user_is_among_the_sockets(tmp_path):
    found = [str(path) for path in usual_sockets({"XDG_RUNTIME_DIR": "/run/user/7"}, tmp_path)]
    assert found[0] == "/var/run/docker.sock"
    assert "/run/user/7/podman/podman.sock" in found
    assert str(tmp_path / ".docker/run/docker.sock") in found


def test_nothing_found_and_unusable_addresses_carry_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("raysweep.sandbox.docker.endpoint.usual_sockets", lambda *_: [])
    with pytest.raises(UnsuitableError, match="DOCKER_HOST"):
        find_endpoint(None, {}, tmp_path)
    with pytest.raises(UnsuitableError, match="unix://"):
        find_endpoint("ssh://me@there", {}, tmp_path)
