"""Digests on a real cluster: its pods keep a run's image when the tag moves."""

import pytest

from support.fake_registry import FakeRegistry
from support.tagged_sweeps import Tagged

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


@pytest.fixture
def tagged(cluster, tmp_path, monkeypatch):
    """On this machine's loopback, from where the node of the dev cluster pulls without TLS."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with FakeRegistry() as registry:
        yield Tagged(tmp_path, registry, f"kind: kubernetes, namespace: {cluster.namespace}")


def digests(attempts):
    """Without the repository: a node names any of those from which it has the same image."""
    return {one["image_digest"].rpartition("@")[2] for one in attempts}


def test_pods_keep_the_digest_when_the_tag_moves(tagged):
    first = tagged.move("first")
    pilot = tagged.run("--blocks", "1")
    assert pilot.returncode == 0, pilot.stderr
    assert tagged.planned() == {(tagged.name, first)}
    second = tagged.move("second")
    rest = tagged.run()
    assert rest.returncode == 0, rest.stderr
    assert f"moved since the run was made: {tagged.name} ({first[:19]} -> {second[:19]})" in rest.stderr
    attempts = tagged.attempts()
    assert len(attempts) == 4
    assert digests(attempts) == {first}


def test_a_tag_that_is_left_a_tag_is_void_once_it_moved(tagged):
    first = tagged.move("first")
    pilot = tagged.run("--blocks", "1", pull="always", images="tags")
    assert pilot.returncode == 0, pilot.stderr
    assert tagged.planned() == {(tagged.name, None)}
    second = tagged.move("second")
    rest = tagged.run(pull="always", images="tags")
    assert rest.returncode == 3, rest.stderr
    void = [one for one in tagged.attempts() if one["cause"] == "image"]
    assert void
    for one in void:
        assert f"the tag {tagged.name} moved from " in one["detail"]
        assert f"@{first} to " in one["detail"]
        assert f"@{second}" in one["detail"]
    assert digests(one for one in tagged.attempts() if one["cause"] != "image") == {first}
