"""What becomes of calls that the API server refuses, delays or does not answer."""

import logging

import pytest

from raysweep.apiserver import Api, ApiError, back_off, leases, pods
from raysweep.errors import UnsuitableError
from support.kubernetes_fake import pod, serving, status


def answers(*told):
    rest = list(told)
    return lambda request: rest.pop(0) if len(rest) > 1 else rest[0]


async def test_a_read_is_tried_again_while_the_error_passes(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "raysweep")
    throttled = (429, status(429, "TooManyRequests"), {"Retry-After": "1"})
    down = (503, "bad gateway, not JSON", {})
    answer = answers(throttled, down, (200, pod("a", "u", 1), {}))
    async with serving(answer, tmp_path, monkeypatch) as (fake, api):
        found = await api.get(pods("ns", "a"))
        assert (api.take_failures(), api.take_failures()) == ("429=1 503=1", "")
    assert found["metadata"]["uid"] == "u"
    assert [r[:2] for r in fake.requests] == [("GET", "/api/v1/namespaces/ns/pods/a")] * 3
    said = [record.getMessage() for record in caplog.records if "/pods/a" in record.getMessage()]
    assert [text.split(" ", 2)[0] for text in said] == ["GET", "trying", "GET", "trying"]
    assert "429 TooManyRequests" in said[0]


async def test_an_error_says_what_the_server_said(tmp_path, monkeypatch):
    answer = answers((429, status(429, "TooManyRequests", "slow down"), {"Retry-After": "7"}))
    async with serving(answer, tmp_path, monkeypatch) as (_, api):
        with pytest.raises(ApiError) as caught:
            await api.get(pods("ns", "a"), patience=0.0)
    error = caught.value
    assert (error.status, error.reason, error.message, error.retry_after) == (429, "TooManyRequests", "slow down", 7.0)
    assert error.transient


async def test_what_will_not_pass_is_not_tried_again(tmp_path, monkeypatch):
    async with serving(answers((403, status(403, "Forbidden"), {})), tmp_path, monkeypatch) as (fake, api):
        with pytest.raises(ApiError, match="Forbidden") as caught:
            await api.get(leases("ns", "a"))
    assert not caught.value.transient
    assert len(fake.requests) == 1


async def test_a_creation_is_sent_once_whatever_the_answer(tmp_path, monkeypatch):
    async with serving(answers((503, "", {})), tmp_path, monkeypatch) as (fake, api):
        with pytest.raises(ApiError) as caught:
            await api.create(pods("ns"), {"kind": "Pod"})
    assert caught.value.status == 503
    assert fake.requests == [("POST", "/api/v1/namespaces/ns/pods", {}, {"kind": "Pod"})]


async def test_dry_run_asks_for_everything_but_the_storing(tmp_path, monkeypatch):
    async with serving(answers((201, pod("a", "u", 1), {})), tmp_path, monkeypatch) as (fake, api):
        await api.create(pods("ns"), {"kind": "Pod"}, dry_run=True)
    assert fake.requests[0][2] == {"dryRun": "All"}


async def test_nobody_there_is_an_error_without_a_status(tmp_path, monkeypatch):
    async with serving(answers((200, {}, {})), tmp_path, monkeypatch) as (_, _api):
        pass
    gone = await Api.connect()
    with pytest.raises(ApiError) as caught:
        await gone.get(pods("ns", "a"), patience=0.3)
    await gone.close()
    assert (caught.value.status, caught.value.reason) == (0, "Connection")
    assert caught.value.transient


@pytest.mark.parametrize(("code", "removed"), [(200, True), (404, False), (409, False)])
async def test_a_deletion_is_of_one_object_only(tmp_path, monkeypatch, code, removed):
    async with serving(answers((code, status(code, "x"), {})), tmp_path, monkeypatch) as (fake, api):
        assert await api.delete(pods("ns", "a"), uid="u", version="5") is removed
    body = fake.requests[0][3]
    assert body["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert body["gracePeriodSeconds"] == 0


async def test_a_list_comes_in_pages(tmp_path, monkeypatch):
    first = {"metadata": {"continue": "more", "resourceVersion": "9"}, "items": [pod("a", "1", 1)]}
    last = {"metadata": {"resourceVersion": "9"}, "items": [pod("b", "2", 2)]}
    async with serving(answers((200, first, {}), (200, last, {})), tmp_path, monkeypatch) as (fake, api):
        found, version = await api.collect(pods("ns"), labelSelector="x=y")
    assert [p["metadata"]["name"] for p in found] == ["a", "b"]
    assert version == "9"
    assert [r[2].get("continue") for r in fake.requests] == [None, "more"]
    assert {r[2]["labelSelector"] for r in fake.requests} == {"x=y"}


async def test_the_token_of_the_kubeconfig_is_sent(tmp_path, monkeypatch):
    def answer(request):
        return 200, {"metadata": {"name": request.headers["Authorization"]}}, {}

    async with serving(answer, tmp_path, monkeypatch) as (_, api):
        assert (await api.get(pods("ns", "a")))["metadata"]["name"] == "Bearer secret-token"


async def test_no_cluster_is_said_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UnsuitableError, match="KUBECONFIG"):
        await Api.connect()


async def test_a_context_that_does_not_exist_is_said(tmp_path, monkeypatch):
    async with serving(answers((200, {}, {})), tmp_path, monkeypatch):
        with pytest.raises(UnsuitableError, match=r"sandbox\.context"):
            await Api.connect("nowhere")


def test_back_off_grows_to_its_cap_and_never_reaches_nothing():
    waits = back_off(0.1, 5.0)
    drawn = [next(waits) for _ in range(20)]
    assert all(0.05 <= wait <= 5.0 for wait in drawn)
    assert min(drawn[-5:]) >= 2.5
