"""One list and watch of a runner's own pods; whoever waits for a pod is woken by its events, nothing polls.

What is kept per pod is what later questions need: identity, labels, node, resources and status. Memory grows with the
number of pods that are followed, not with the number of events.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from raysweep.apiserver import Api, ApiError, Json, back_off, pods

_log = logging.getLogger(__name__)

WATCH_S = 240
"""A watch is begun anew after about this long."""

SILENCE_S = 150.0
"""No event, bookmark (one a minute) or end for this long: the connection is dead."""

_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "labels", "annotations",
    "ownerReferences",
)  # fmt: skip
_SPEC = ("nodeName", "resources", "tolerations", "activeDeadlineSeconds", "restartPolicy")
_CONTAINER = ("name", "image", "resources")


@dataclass(frozen=True, slots=True)
class Seen:
    """A pod as last seen (trimmed); gone: it was deleted, and this was its last state."""

    pod: Json
    gone: bool = False

    @property
    def uid(self) -> str:
        """The pod's uid."""
        uid: str = self.pod["metadata"]["uid"]
        return uid


@dataclass(slots=True)
class _Waiter:
    wanted: Callable[[Seen], bool]
    future: asyncio.Future[Seen]


class Watcher:
    """Follows pods that carry the labels of `selector`. An async context manager: enter it before pods are made.

    Only pods named to `follow` are kept, until `forget`. `lists` counts how often everything was read, `failures` how
    often list or watch failed.
    """

    def __init__(self, api: Api, namespace: str, selector: str) -> None:
        self._api = api
        self._path = pods(namespace)
        self._selector = selector
        self._followed: dict[str, Seen | None] = {}
        self._waiters: dict[str, list[_Waiter]] = {}
        self._version: str | None = None
        self._task: asyncio.Task[None] | None = None
        self.lists = 0
        self.failures = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"watch {self._selector}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.future.cancel()

    def follow(self, name: str) -> None:
        """Keep what is seen of this pod from now on; call it before the pod is made."""
        self._followed.setdefault(name, None)

    def forget(self, name: str) -> None:
        """Drop what was seen of this pod."""
        self._followed.pop(name, None)

    def pod(self, name: str) -> Seen | None:
        """A followed pod as last seen; None when nothing was seen of it yet."""
        return self._followed.get(name)

    def pods(self) -> list[Seen]:
        """All followed pods that were seen."""
        return [seen for seen in self._followed.values() if seen is not None]

    def note(self, pod: Json) -> None:
        """Take over a pod that a call of our own returned, unless an event told something newer already."""
        self._see(pod, gone=False)

    async def until(self, name: str, wanted: Callable[[Seen], bool]) -> Seen:
        """The followed pod once `wanted` holds for it (at once when it does already); bound it with a time-out."""
        seen = self._followed.get(name)
        if seen is not None and wanted(seen):
            return seen
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(name, []).append(waiter)
        try:
            return await waiter.future
        finally:
            waiters = self._waiters[name]
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[name]

    def _see(self, pod: Json, *, gone: bool) -> None:
        name = pod["metadata"]["name"]
        if name not in self._followed or _outdated(pod, self._followed[name]):
            return
        seen = self._followed[name] = Seen(trimmed(pod), gone)
        for waiter in self._waiters.get(name, ()):
            if not waiter.future.done():
                try:
                    if waiter.wanted(seen):
                        waiter.future.set_result(seen)
                except Exception as error:  # noqa: BLE001 - it is the waiter's own
                    waiter.future.set_exception(error)

    async def _run(self) -> None:
        waits = back_off()
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                waits = back_off()
            except ApiError as error:
                _log.info("watch of pods interrupted: %s", error)
                if error.status == 410 or error.reason == "Expired":
                    self._version = None
                else:
                    self.failures += 1
                await asyncio.sleep(max(next(waits), error.retry_after or 0.0))

    async def _list(self) -> None:
        """Everything anew: what is not there any more was deleted while we could not see it."""
        listed, version = await self._api.collect(self._path, patience=0.0, labelSelector=self._selector)
        there = {pod["metadata"]["uid"] for pod in listed}
        for seen in self.pods():
            if not seen.gone and seen.uid not in there and _version(seen.pod) <= int(version):
                self._see(seen.pod, gone=True)
        for pod in listed:
            self._see(pod, gone=False)
        self._version = version
        self.lists += 1

    async def _watch(self) -> None:
        stream = self._api.watch(
            self._path,
            silence=SILENCE_S,
            labelSelector=self._selector,
            allowWatchBookmarks="true",
            resourceVersion=self._version or "",
            timeoutSeconds=str(random.randint(WATCH_S, WATCH_S * 5 // 4)),
        )
        async for event in stream:
            thing = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(thing.get("code", 0), thing.get("reason", ""), thing.get("message", ""))
            self._version = thing["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._see(thing, gone=event["type"] == "DELETED")


def _version(pod: Json) -> int:
    return int(pod["metadata"]["resourceVersion"])


def _outdated(pod: Json, seen: Seen | None) -> bool:
    """Whether `pod` tells less than what was seen: an earlier version, be it of a predecessor of the same name."""
    if seen is None:
        return False
    return (seen.gone and seen.uid == pod["metadata"]["uid"]) or _version(pod) < _version(seen.pod)


def trimmed(pod: Json) -> Json:
    """The parts of a pod that are kept."""
    spec = pod["spec"]
    return {
        "metadata": {key: pod["metadata"][key] for key in _METADATA if key in pod["metadata"]},
        "spec": {
            **{key: spec[key] for key in _SPEC if key in spec},
            "containers": [{key: c[key] for key in _CONTAINER if key in c} for c in spec["containers"]],
        },
        "status": pod.get("status", {}),
    }
