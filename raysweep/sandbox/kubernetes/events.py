"""Events of pods: all of one pod when something went wrong, and, for every pod, whether its image was pulled.

Lists of events are expensive for the API server (it keeps no index of them), so what every start wants to know comes
from one watch per runner on the events of one reason.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from raysweep.apiserver import Api, ApiError, Json, back_off, events
from raysweep.sandbox.kubernetes.watch import SILENCE_S, WATCH_S

_log = logging.getLogger(__name__)

PULLED = "Pulled"
"""Reason of the kubelet's event for an image that is there; its message tells whether it was there before."""


async def events_of(api: Api, namespace: str, uid: str, *, patience: float) -> list[Json]:
    """The events of one pod, oldest first; none when they cannot be read."""
    try:
        listed, _ = await api.collect(events(namespace), patience=patience, fieldSelector=f"involvedObject.uid={uid}")
    except ApiError:
        return []
    return sorted(listed, key=_when)


def _when(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


class Pulls:
    """Tells for pods that are followed whether the image of a container was pulled for them. A context manager."""

    def __init__(self, api: Api, namespace: str, container: str) -> None:
        self._api = api
        self._path = events(namespace)
        self._field = f"spec.containers{{{container}}}"
        self._known: dict[str, asyncio.Future[bool]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="watch of pulled images")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def follow(self, name: str) -> None:
        """Keep what is told of the pod of this name from now on; call it before the pod is made."""
        self._known[name] = asyncio.get_running_loop().create_future()

    def forget(self, name: str) -> None:
        """Drop it."""
        self._known.pop(name, None)

    async def pulled(self, name: str, patience: float) -> bool | None:
        """Whether its image was pulled; None when no event tells it within `patience` seconds."""
        future = self._known.get(name)
        if future is None:
            return None
        await asyncio.wait([future], timeout=patience)
        return future.result() if future.done() else None

    async def _run(self) -> None:
        waits, version = back_off(), None
        while True:
            try:
                if version is None:
                    page = await self._api.get(self._path, patience=0.0, limit="1")
                    version = page["metadata"]["resourceVersion"]
                version = await self._watch(version)
                waits = back_off()
            except ApiError as error:
                _log.info("watch of events interrupted: %s", error)
                version = None
                await asyncio.sleep(max(next(waits), error.retry_after or 0.0))

    async def _watch(self, version: str) -> str:
        stream = self._api.watch(
            self._path,
            silence=SILENCE_S,
            fieldSelector=f"reason={PULLED},involvedObject.kind=Pod",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(WATCH_S),
        )
        async for event in stream:
            thing = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(thing.get("code", 0), thing.get("reason", ""), thing.get("message", ""))
            version = thing["metadata"]["resourceVersion"]
            if event["type"] == "ADDED" and thing["involvedObject"].get("fieldPath") == self._field:
                self._tell(thing["involvedObject"]["name"], "already present" not in thing.get("message", ""))
        return version

    def _tell(self, name: str, pulled: bool) -> None:
        future = self._known.get(name)
        if future is not None and not future.done():
            future.set_result(pulled)
