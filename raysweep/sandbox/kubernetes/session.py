"""A runner's session in the cluster: its Lease, watches and ConfigMap, held by one task until its event loop ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from raysweep.apiserver import Api, ApiError, Json, config_maps
from raysweep.errors import UnsuitableError
from raysweep.sandbox.kubernetes.container import ClusterContext
from raysweep.sandbox.kubernetes.create import Creator
from raysweep.sandbox.kubernetes.events import Pulls
from raysweep.sandbox.kubernetes.lease import RunnerLease
from raysweep.sandbox.kubernetes.nodes import Nodes
from raysweep.sandbox.kubernetes.pod import RUNNER, TASK, Owner, PodOptions, label_value, supervisor_config_map
from raysweep.sandbox.kubernetes.watch import Watcher
from raysweep.sandbox.supervisor import FOLDER

APPLY = "kubectl apply -k cluster/sandboxes"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session needs beside what all pods have in common; times in seconds."""

    pods: PodOptions
    context: str | None = None
    owner: str = "runner"
    create_rate: float = 8.0
    max_pending: int = 50
    start_timeout_s: float = 600.0
    deadline_s: float = 86400.0


@dataclass(slots=True)
class ClusterSession:
    """Held open by its task; `cluster` is what its pods share, `facts` what was measured."""

    cluster: ClusterContext
    _task: asyncio.Task[None]
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)

    @classmethod
    async def begin(cls, options: SessionOptions, run_id: str) -> ClusterSession:
        """Enter the cluster as one runner of `run_id`; UnsuitableError when it does not let us in."""
        ready: asyncio.Future[ClusterContext] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(_hold(options, run_id, ready), name=f"session of {options.owner}")
        task.add_done_callback(lambda ended: _tell(ended, ready))
        try:
            return cls(await ready, task)
        except BaseException:
            task.cancel()
            await asyncio.wait([task])
            raise

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def end(self) -> None:
        """Leave: the Lease is given up, and what it owned goes."""
        self._task.cancel()
        await asyncio.wait([self._task])


def _tell(ended: asyncio.Task[None], ready: asyncio.Future[ClusterContext]) -> None:
    """Whoever waits for a session that failed before it began gets its error."""
    if ready.done():
        return
    if ended.cancelled():
        ready.cancel()
    elif (error := ended.exception()) is not None:
        ready.set_exception(error)


async def _hold(options: SessionOptions, run_id: str, ready: asyncio.Future[ClusterContext]) -> None:
    async with _cluster(options, run_id) as cluster:
        ready.set_result(cluster)
        await asyncio.Event().wait()


@asynccontextmanager
async def _cluster(options: SessionOptions, run_id: str) -> AsyncIterator[ClusterContext]:
    namespace = options.pods.namespace
    api = await Api.connect(options.context)
    try:
        async with _welcome(RunnerLease(api, namespace, run_id, options.owner), namespace) as lease:
            await _put_supervisor(api, namespace, lease.name, lease.owner())
            selector = f"{RUNNER}={label_value(lease.runner)}"
            async with Watcher(api, namespace, selector) as watcher, Pulls(api, namespace, TASK) as pulls:
                yield ClusterContext(
                    api=api,
                    lease=lease,
                    watcher=watcher,
                    pulls=pulls,
                    nodes=Nodes(api, namespace),
                    creator=Creator(options.create_rate, options.max_pending, lambda: lease.runners, time.monotonic),
                    options=options.pods,
                    config_map=lease.name,
                    start_timeout_s=options.start_timeout_s,
                    deadline_s=options.deadline_s,
                )
    finally:
        await api.close()


@asynccontextmanager
async def _welcome(lease: RunnerLease, namespace: str) -> AsyncIterator[RunnerLease]:
    try:
        await lease.__aenter__()
    except ApiError as error:
        raise unsuitable(error, namespace) from error
    try:
        yield lease
    finally:
        await lease.__aexit__()


async def _put_supervisor(api: Api, namespace: str, name: str, owner: Owner) -> None:
    """The ConfigMap that brings the supervisor into this runner's pods; it goes with the runner's Lease."""
    manifest = supervisor_config_map(namespace, supervisors())
    manifest["metadata"] |= {"name": name, "ownerReferences": [reference(owner)]}
    try:
        await api.create(config_maps(namespace), manifest)
    except ApiError as error:
        raise unsuitable(error, namespace) from error


def supervisors() -> dict[str, bytes]:
    """The supervisor's binary for each architecture that there is one for."""
    return {p.name.rpartition("-")[2]: p.read_bytes() for p in sorted((FOLDER / "bin").glob("raysweep-supervisor-*"))}


def reference(owner: Owner) -> Json:
    """An ownerReference to a Lease."""
    told: dict[str, Any] = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "name": owner.name,
        "uid": owner.uid,
    }
    return told


def unsuitable(error: ApiError, namespace: str) -> UnsuitableError:
    """Why a cluster does not take us, with the remedy."""
    if error.status == 404:
        return UnsuitableError(f"there is no namespace {namespace}", f"make it with `{APPLY}`")
    if error.status in {401, 403}:
        return UnsuitableError(f"the cluster does not let us in: {error.message}", f"give the Role of `{APPLY}`")
    return UnsuitableError(f"the cluster cannot be used: {error}", "see that `kubectl version` answers")
