"""The client for code that waits: what it asks of the API server, and what becomes of the answers."""

import asyncio

import pytest

from raysweep.apiserver import ApiError
from raysweep.deploy.client import Cluster
from raysweep.errors import UnsuitableError
from support.kubernetes_fake import serving, status

JOB = {"kind": "RayJob", "metadata": {"name": "j", "creationTimestamp": "2026-12-01T00:00:02Z"}}
OLDER = {"kind": "RayJob", "metadata": {"name": "i", "creationTimestamp": "2026-12-01T00:00:01Z"}}
PATH = "/apis/ray.io/v1/namespaces/ns/rayjobs"


async def asked(tmp_path, monkeypatch, answers, work):
    """What `work` gives on a cluster that gives these answers in turn, and the requests that it saw."""
    rest, seen = list(answers), []

    def answer(request):
        seen.append(request)
        return rest.pop(0)

    def calls():
        with Cluster("ns") as cluster:
            return work(cluster)

    async with serving(answer, tmp_path, monkeypatch):
        return await asyncio.to_thread(calls), seen


async def test_apply_is_a_server_side_apply_that_is_strict_and_ours(tmp_path, monkeypatch):
    answers = [(503, "gone for a moment", {}), (200, JOB, {})]
    done, seen = await asked(tmp_path, monkeypatch, answers, lambda c: c.apply(JOB, dry_run=True))
    assert done == JOB
    assert [(r.method, r.path) for r in seen] == [("PATCH", f"{PATH}/j")] * 2, "repeated, as that does no harm"
    query = {"fieldManager": "raysweep", "force": "true", "fieldValidation": "Strict", "dryRun": "All"}
    assert dict(seen[1].query) == query
    assert seen[1].headers["Content-Type"] == "application/apply-patch+yaml"


async def test_create_says_where_a_name_is_taken_and_is_sent_once(tmp_path, monkeypatch):
    def work(cluster):
        with pytest.raises(ApiError) as caught:
            cluster.create(JOB)
        return caught.value.reason

    reason, seen = await asked(tmp_path, monkeypatch, [(409, status(409, "AlreadyExists"), {})], work)
    assert reason == "AlreadyExists"
    assert [(r.method, r.path) for r in seen] == [("POST", PATH)]
    assert dict(seen[0].query) == {"fieldManager": "raysweep", "fieldValidation": "Strict"}


async def test_find_is_by_age_over_all_pages_and_empty_where_the_kind_is_unknown(tmp_path, monkeypatch):
    pages = [
        (200, {"items": [JOB], "metadata": {"resourceVersion": "1", "continue": "more"}}, {}),
        (200, {"items": [OLDER], "metadata": {"resourceVersion": "1"}}, {}),
    ]
    found, _ = await asked(tmp_path, monkeypatch, pages, lambda c: c.find("RayJob", "a=b"))
    assert [one["metadata"]["name"] for one in found] == ["i", "j"]
    none, _ = await asked(tmp_path, monkeypatch, [(404, "404 page not found", {})], lambda c: c.find("RayJob", "a=b"))
    assert none == []


async def test_merge_and_delete(tmp_path, monkeypatch):
    def work(cluster):
        cluster.merge("RayJob", "j", {"spec": {"backoffLimit": 0}})
        cluster.delete("RayJob", "j")

    _, seen = await asked(tmp_path, monkeypatch, [(200, JOB, {}), (404, status(404, "NotFound"), {})], work)
    assert [(r.method, r.headers["Content-Type"]) for r in seen] == [
        ("PATCH", "application/merge-patch+json"),
        ("DELETE", "application/json"),
    ]


async def test_a_log_comes_in_pieces_to_its_end(tmp_path, monkeypatch):
    text = "line\n" * 100_000
    got, seen = await asked(tmp_path, monkeypatch, [(200, text, {})], lambda c: b"".join(c.log("p", "main")))
    assert got.decode() == text
    assert (seen[0].path, dict(seen[0].query)) == (
        "/api/v1/namespaces/ns/pods/p/log",
        {"container": "main", "follow": "false"},
    )


def test_no_cluster_is_said_with_the_option_that_names_one(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UnsuitableError, match="no Kubernetes cluster") as caught, Cluster("ns"):
        pass
    assert caught.value.remedy == "set KUBECONFIG, or name a context by --context"
