"""The calls that deployments need of an API server, for code that waits: apply, create, list, patch, delete, logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Self

from raysweep.apiserver import Api, ApiError
from raysweep.deploy.names import Json
from raysweep.errors import UnsuitableError

MANAGER = "raysweep"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "RayJob": "/apis/ray.io/v1/namespaces/{}/rayjobs",
    "RayCronJob": "/apis/ray.io/v1/namespaces/{}/raycronjobs",
    "RayCluster": "/apis/ray.io/v1/namespaces/{}/rayclusters",
}
"""Kinds that `raysweep.deploy` makes, and pods, whose logs it reads."""
OPERATOR = "install the KubeRay operator (1.7 or newer), or say `cluster: {operator: none}`"
BASE = "apply the accounts and policies of cluster/base first: `kubectl apply -k cluster/base`"

LOG_IN = "log in to the cluster again, or choose another kubeconfig or context"
_HEADS = {
    0: "the cluster does not answer",
    401: "the cluster does not accept the credentials (401)",
    403: "the account lacks a right (403)",
}


class Cluster:
    """Calls to one cluster, in one namespace, as a context manager. ApiError: what the API server refused.

    It has an event loop of its own, so it is not for code that runs in one.
    """

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self._namespace = namespace
        self._context = context
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        """Find the cluster of the kubeconfig, in a pod its own; UnsuitableError when there is none."""
        self._loop.__enter__()
        try:
            self._api = self._loop.run(Api.connect(self._context))
        except UnsuitableError as error:
            self._loop.close()
            raise UnsuitableError(error.missing, "set KUBECONFIG, or name a context by --context") from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.run(self._api.close())
        self._loop.close()

    def apply(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Server-side apply, ours where others disagree; the object as it is then."""
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict", **_dry(dry_run)}
        path = self._path(manifest["kind"], manifest["metadata"]["name"])
        return self._loop.run(self._api.patch(path, manifest, APPLY, **query))

    def create(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Create an object; ApiError with reason AlreadyExists where its name is taken."""
        call = self._api.create(
            self._path(manifest["kind"]), manifest, dry_run=dry_run, fieldManager=MANAGER, fieldValidation="Strict"
        )
        return self._loop.run(call)

    def get(self, kind: str, name: str) -> Json:
        """An object by its name."""
        return self._loop.run(self._api.get(self._path(kind, name)))

    def find(self, kind: str, selector: str) -> list[Json]:
        """Objects of a kind by labels, oldest first; none where the cluster does not know the kind."""
        try:
            items, _ = self._loop.run(self._api.collect(self._path(kind), labelSelector=selector))
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return sorted(items, key=lambda item: str(item["metadata"]["creationTimestamp"]))

    def merge(self, kind: str, name: str, change: Json) -> Json:
        """Change fields of an object, by a merge patch."""
        return self._loop.run(self._api.patch(self._path(kind, name), change, MERGE))

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what it owns; nothing where it is gone already."""
        self._loop.run(self._api.delete(self._path(kind, name), grace_s=None))

    def log(self, pod: str, container: str, *, follow: bool = False) -> Iterator[bytes]:
        """A container's output in pieces; `follow`: until it ends."""
        pieces = self._api.stream(f"{self._path('Pod', pod)}/log", container=container, follow=str(follow).lower())
        while (piece := self._loop.run(_next(pieces))) is not None:
            yield piece

    def _path(self, kind: str, name: str = "") -> str:
        collection = COLLECTIONS[kind].format(self._namespace)
        return f"{collection}/{name}" if name else collection


def _dry(wanted: bool) -> dict[str, str]:
    return {"dryRun": "All"} if wanted else {}


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


def explained(error: ApiError, kinds: Sequence[str]) -> UnsuitableError:
    """A refusal of one of these kinds as a sentence: whose it is, and what helps."""
    head = _HEADS.get(error.status, "the cluster refused")
    return UnsuitableError(f"{head}: {error.message or f'HTTP {error.status}'}", _remedy(error, kinds))


def _remedy(error: ApiError, kinds: Sequence[str]) -> str:
    # An API group that is not there answers without a name; a namespace is named.
    if error.status == 404 and "namespaces" not in error.message and any(kind.startswith("Ray") for kind in kinds):
        return OPERATOR
    if error.status == 401:
        return LOG_IN
    return BASE if error.status in {403, 404} else "see the message"
