"""The watcher against a server that ends, breaks and forgets its watches."""

import asyncio
import json

from aiohttp import web

from raysweep.sandbox.kubernetes.watch import Watcher, trimmed
from support.kubernetes_fake import pod, serving, status

PATIENCE_S = 60


def event(kind, thing):
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def bookmark(version):
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


class Script:
    """Lists and watches in the order in which they are to be answered; the last watch stays open."""

    def __init__(self, lists, watches):
        self.lists, self.watches = list(lists), list(watches)
        self.versions = []

    def __call__(self, request):
        if request.query.get("watch") != "true":
            items, version = self.lists.pop(0)
            return 200, {"metadata": {"resourceVersion": str(version)}, "items": items}, {}
        self.versions.append(request.query["resourceVersion"])
        return self.stream(request, self.watches.pop(0))

    async def stream(self, request, chunks):
        if isinstance(chunks, int):
            return web.json_response(status(chunks, "Expired"), status=chunks)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            if chunk is None:
                request.transport.abort()
                return response
            await response.write(chunk)
        if not self.watches:
            await asyncio.Event().wait()
        return response


async def seen_by(script, tmp_path, monkeypatch, names, wanted):
    """What the watcher says of `names` once `wanted` holds for the last of them."""
    async with serving(script, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        for name in names:
            watcher.follow(name)
        async with watcher, asyncio.timeout(PATIENCE_S):
            await watcher.until(names[-1], wanted)
            return {name: watcher.pod(name) for name in names}, watcher


async def test_events_wake_who_waits_and_only_followed_pods_are_kept(tmp_path, monkeypatch):
    changed = event("MODIFIED", pod("a", "u", 4))
    script = Script(
        [([pod("other", "o", 1)], 1)],
        [[event("ADDED", pod("a", "u", 2, "Pending")), event("ADDED", pod("c", "v", 3)), changed]],
    )
    seen, watcher = await seen_by(script, tmp_path, monkeypatch, ["a"], lambda s: s.pod["status"]["phase"] == "Running")
    assert seen["a"].uid == "u"
    assert [s.uid for s in watcher.pods()] == ["u"]


async def test_an_event_may_come_in_pieces(tmp_path, monkeypatch):
    whole = event("ADDED", pod("a", "u", 2)) + event("ADDED", pod("b", "v", 3))
    script = Script([([], 1)], [[whole[:10], whole[10:200], whole[200:]]])
    seen, _ = await seen_by(script, tmp_path, monkeypatch, ["a", "b"], lambda s: s.uid == "v")
    assert seen["a"].uid == "u"


async def test_a_broken_watch_goes_on_where_it_was(tmp_path, monkeypatch):
    script = Script(
        [([], 5)],
        [
            [event("ADDED", pod("a", "u", 7)), None],
            [bookmark(30)],
            [event("DELETED", pod("a", "u", 31))],
        ],
    )
    seen, watcher = await seen_by(script, tmp_path, monkeypatch, ["a"], lambda s: s.gone)
    assert seen["a"].gone
    assert script.versions == ["5", "7", "30"]
    assert watcher.lists == 1


async def test_an_expired_version_lists_again_and_finds_what_was_deleted_meanwhile(tmp_path, monkeypatch):
    script = Script(
        [([pod("a", "u", 3), pod("b", "v", 4)], 5), ([pod("b", "v2", 90)], 100)],
        [[event("ERROR", status(410, "Expired"))], []],
    )
    seen, watcher = await seen_by(script, tmp_path, monkeypatch, ["a", "b"], lambda s: s.uid == "v2")
    assert seen["a"].gone
    assert seen["a"].uid == "u"
    assert not seen["b"].gone
    assert script.versions[0] == "5"
    assert watcher.lists == 2


async def test_a_refused_version_lists_again(tmp_path, monkeypatch):
    script = Script([([], 5), ([pod("a", "u", 9)], 10)], [410, []])
    seen, watcher = await seen_by(script, tmp_path, monkeypatch, ["a"], lambda _: True)
    assert seen["a"].uid == "u"
    assert watcher.failures == 0


async def test_a_predicate_that_fails_is_its_own_callers_affair(tmp_path, monkeypatch):
    script = Script([([], 1)], [[event("ADDED", pod("a", "u", 2))]])
    async with serving(script, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        watcher.follow("a")
        async with watcher, asyncio.timeout(PATIENCE_S):
            bad = asyncio.ensure_future(watcher.until("a", lambda s: s.pod["nothing"]))
            good = asyncio.ensure_future(watcher.until("a", lambda s: s.uid == "u"))
            assert (await good).uid == "u"
            done, _ = await asyncio.wait([bad])
            assert isinstance(bad.exception(), KeyError)
            assert done == {bad}


async def test_what_a_call_returned_does_not_undo_what_an_event_told(tmp_path, monkeypatch):
    script = Script([([], 1)], [[event("ADDED", pod("a", "u", 2)), event("DELETED", pod("a", "u", 3))]])
    async with serving(script, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        watcher.follow("a")
        watcher.note(pod("a", "u", 2, "Pending"))
        assert watcher.pod("a").pod["status"]["phase"] == "Pending"
        async with watcher, asyncio.timeout(PATIENCE_S):
            await watcher.until("a", lambda s: s.gone)
        watcher.note(pod("a", "u", 2, "Pending"))
        assert watcher.pod("a").gone
        watcher.forget("a")
        assert watcher.pod("a") is None


async def test_a_list_from_before_a_pod_was_made_does_not_tell_its_end(tmp_path, monkeypatch):
    script = Script([([], 5)], [[event("ADDED", pod("b", "v", 9))]])
    async with serving(script, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        watcher.follow("a")
        watcher.follow("b")
        watcher.note(pod("a", "u", 8, "Pending"))
        async with watcher, asyncio.timeout(PATIENCE_S):
            await watcher.until("b", lambda _: True)
    assert not watcher.pod("a").gone


async def test_late_news_of_a_predecessor_do_not_hide_its_successor(tmp_path, monkeypatch):
    late = [event("MODIFIED", pod("a", "old", 3)), event("DELETED", pod("a", "old", 4))]
    script = Script([([], 1)], [[*late, event("ADDED", pod("a", "new", 5)), event("ADDED", pod("b", "v", 6))]])
    async with serving(script, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        watcher.follow("a")
        watcher.follow("b")
        watcher.note(pod("a", "new", 5, "Pending"))
        told = []
        async with watcher, asyncio.timeout(PATIENCE_S):
            waiting = asyncio.ensure_future(watcher.until("a", lambda s: told.append(s.uid) or False))
            await watcher.until("b", lambda _: True)
            waiting.cancel()
    assert set(told) == {"new"}
    assert not watcher.pod("a").gone


async def test_whoever_waits_when_the_watcher_ends_is_cancelled(tmp_path, monkeypatch):
    async with serving(Script([([], 1)], [[]]), tmp_path, monkeypatch) as (_, api):
        async with Watcher(api, "ns", "x=y") as watcher:
            watcher.follow("a")
            waiting = asyncio.ensure_future(watcher.until("a", lambda _: True))
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([waiting])
    assert waiting.cancelled()


def test_kept_is_what_later_questions_need():
    kept = trimmed(pod("a", "u", 2))
    assert kept["metadata"] == {"name": "a", "uid": "u", "resourceVersion": "2"}
    assert kept["spec"] == {"nodeName": "n", "containers": [{"name": "task", "resources": {}}]}
    assert kept["status"] == {"phase": "Running"}
