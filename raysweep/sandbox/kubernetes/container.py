"""One sandbox's pod: made at the run's rate, watched until it runs, reached by exec, read, and removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from raysweep.apiserver import Api, ApiError, Json, back_off, pods
from raysweep.errors import SandboxError
from raysweep.sandbox.kubernetes.bounds import actual, alterations
from raysweep.sandbox.kubernetes.create import Creator
from raysweep.sandbox.kubernetes.events import Pulls, events_of
from raysweep.sandbox.kubernetes.exec import MAX_EXECS, ExecChannel, open_exec
from raysweep.sandbox.kubernetes.hindrance import Hindrance, hindrance
from raysweep.sandbox.kubernetes.lease import RunnerLease
from raysweep.sandbox.kubernetes.nodes import Nodes, NodeView, node_facts
from raysweep.sandbox.kubernetes.pod import (
    ATTEMPT,
    BINARY,
    KEEPER,
    RUN,
    TASK,
    Binding,
    PodOptions,
    pod_manifest,
    pod_name,
)
from raysweep.sandbox.kubernetes.pod_end import cause_at_start, end_of_pod, lost_sight, over, running
from raysweep.sandbox.kubernetes.podfacts import facts_at_end, lives, made_for, pod_facts
from raysweep.sandbox.kubernetes.watch import Seen, Watcher
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.container import Channel, ContainerEndedError, Ending, Made
from raysweep.sandbox.supervisor import KEPT

_log = logging.getLogger(__name__)

LAST_WORD_S = 300.0
"""How long the last look at a pod, and its removal, wait for an API server that is away; the Lease does the rest."""

SETTLE_S = 10.0
"""How long an end that nothing explains yet may still be explained by what the kubelet tells next."""

PULL_EVENT_S = 1.0
"""How long a start waits for the event that tells whether the image was pulled."""

API_ERRORS = "api_errors"
"""Node fact: failed calls of the runner, for reasons that pass, since its attempt before this one ended."""


@dataclass(frozen=True, slots=True)
class ClusterContext:
    """What all pods of one runner share: the connection, the watches and the options.

    deadline_s: lifetime of a pod whose spec says none. start_timeout_s: how long one may take to run, from the moment
    when the API server took it.
    """

    api: Api
    lease: RunnerLease
    watcher: Watcher
    pulls: Pulls
    nodes: Nodes
    creator: Creator
    options: PodOptions
    config_map: str
    start_timeout_s: float
    deadline_s: float


class PodContainer:
    """Implements `sandbox.supervised.container.Container`."""

    def __init__(self, spec: SandboxSpec, cluster: ClusterContext) -> None:
        self.token = secrets.token_hex(16)
        self.name = pod_name(spec.run_id, spec.name)
        self._spec = spec
        self._cluster = cluster
        self._path = pods(cluster.options.namespace, self.name)
        self._uid: str | None = None
        self._node = ""
        self._call: asyncio.Task[Json] | None = None
        self._removing = False
        self._execs = asyncio.Semaphore(MAX_EXECS)

    # -- making it

    async def create(self) -> Made:
        """Create the pod and wait until both containers run; SandboxError with the cause when they do not."""
        cluster = self._cluster
        cluster.watcher.follow(self.name)
        cluster.pulls.follow(self.name)
        async with cluster.creator.pending():
            manifest, pod = await self._post()
            changed = alterations(manifest, pod)
            if changed:
                raise SandboxError("altered", "; ".join(changed))
            self._uid = pod["metadata"]["uid"]
            self._call = None  # its answer is large, and told
            cluster.watcher.note(pod)
            seen = await self._until_running()
        self._node = seen.pod["spec"]["nodeName"]
        view = await cluster.nodes.view(self._node)
        pulled = await cluster.pulls.pulled(self.name, PULL_EVENT_S)
        if pulled:
            _log.info("node %s pulled the image for pod %s", self._node, self.name)
        bounds = actual(seen.pod)
        node = {**node_facts(view, self.name), **pod_facts(seen.pod)}
        return Made(bounds.request, bounds.limit, node=node, image_pulled=pulled)

    def _manifest(self) -> Json:
        cluster = self._cluster
        binding = Binding(
            runner=cluster.lease.runner,
            token=self.token,
            config_map=cluster.config_map,
            deadline_s=cluster.start_timeout_s + (self._spec.lifetime_s or cluster.deadline_s),
            owner=cluster.lease.owner(),
        )
        return pod_manifest(self._spec, cluster.options, binding)

    async def _post(self) -> tuple[Json, Json]:
        """The manifest and the pod that the API server made of it; patient with what passes, quotas among it."""
        cluster, creator = self._cluster, self._cluster.creator
        end = time.monotonic() + cluster.start_timeout_s
        for wait in back_off(first=0.5, cap=15.0):
            await creator.token()
            manifest = self._manifest()
            try:
                pod = await self._create_once(manifest)
            except ApiError as error:
                if error.status == 429 or error.retry_after is not None:
                    creator.throttled(error.retry_after)
                if error.reason == "AlreadyExists":
                    standing = await self._standing(manifest)
                    if standing is not None:
                        return manifest, standing
                elif not (error.transient or _quota_full(error)):
                    raise SandboxError("scheduling", f"the API server refused the pod: {error}") from error
                if time.monotonic() + wait > end:
                    cause = "scheduling" if _quota_full(error) else "api_server"
                    raise SandboxError(cause, f"the pod could not be created: {error}") from error
                _log.info("creating pod %s again in %.1f s: %s", self.name, wait, error)
            else:
                creator.accepted()
                return manifest, pod
            await asyncio.sleep(wait)
        raise AssertionError("back_off() never ends")

    async def _create_once(self, manifest: Json) -> Json:
        """Shielded: a call that is cut in the middle would leave a pod that nobody knows of; `remove` waits for it."""
        if self._removing:
            raise SandboxError("runner_lost", "the sandbox is being removed")
        cluster = self._cluster
        self._call = asyncio.create_task(cluster.api.create(pods(cluster.options.namespace), manifest))
        return await asyncio.shield(self._call)

    async def _standing(self, manifest: Json) -> Json | None:
        """The pod that has our name: ours whose answer was lost is adopted, a lost runner's goes, another's stays."""
        try:
            existing = await self._cluster.api.get(self._path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise SandboxError("api_server", f"a pod named {self.name} exists and cannot be read: {error}") from error
        labels, wanted = existing["metadata"].get("labels") or {}, manifest["metadata"]["labels"]
        if any(labels.get(key) != wanted[key] for key in (RUN, ATTEMPT)):
            raise SandboxError("scheduling", f"a pod named {self.name} exists and belongs to something else")
        if made_for(existing, self.token) and "deletionTimestamp" not in existing["metadata"]:
            return existing
        await self._cluster.api.delete(self._path, uid=existing["metadata"]["uid"])
        return None

    async def _until_running(self) -> Seen:
        """Wait for the watcher; SandboxError as soon as waiting longer can not help."""
        watcher, now = self._cluster.watcher, time.monotonic
        end = now() + self._cluster.start_timeout_s
        since: float | None = None
        seen = watcher.pod(self.name)
        while seen is None or not running(seen.pod):
            limit, trouble = end, None
            if seen is not None:
                ending = end_of_pod(seen.pod, gone=seen.gone, uid=self._uid)
                if ending.ended:
                    raise SandboxError(*cause_at_start(await self.ending()))
                trouble = hindrance(seen.pod)
            if trouble is None or trouble.patience_s is None:
                since = None
            else:
                since = now() if since is None else since
                limit = min(end, since + trouble.patience_s)
            try:
                async with asyncio.timeout(max(0.0, limit - now())):
                    seen = await watcher.until(self.name, _another_than(seen))
            except TimeoutError:
                trouble = await self._with_events(seen)
                if now() >= end or (trouble is not None and trouble.patience_s is not None):
                    raise _not_running(trouble, self._cluster.start_timeout_s) from None
                since = None
        return seen

    async def _with_events(self, seen: Seen | None) -> Hindrance | None:
        """What keeps the pod from running, its events regarded."""
        if seen is None or self._uid is None:
            return None
        pod_events = await events_of(self._cluster.api, self._cluster.options.namespace, self._uid, patience=5.0)
        return hindrance(seen.pod, pod_events)

    # -- reaching it

    async def connect(self) -> Channel:
        """A new stream; ContainerEndedError when the pod is not running any more, else ConnectionError."""
        return await self._connect(TASK, "call", TASK)

    async def connect_keeper(self) -> Channel | None:
        """The keeper's samples; None when the pod is gone."""
        try:
            return await self._connect(KEEPER, "kept", KEPT)
        except ContainerEndedError:
            return None

    async def _connect(self, container: str, *words: str) -> ExecChannel:
        cluster = self._cluster
        self._raise_if_ended(cluster.watcher.pod(self.name), container)
        await self._execs.acquire()
        try:
            return await open_exec(
                cluster.api, cluster.options.namespace, self.name, container, (BINARY, *words), self._execs.release
            )
        except BaseException as error:
            self._execs.release()
            if not isinstance(error, ApiError):
                raise
            self._raise_if_ended(await self._look(patience=0.0), container)
            raise ConnectionError(str(error)) from error

    def _raise_if_ended(self, seen: Seen | None, container: str) -> None:
        if seen is None:
            raise ContainerEndedError(f"pod {self.name} was not made, or is removed")
        if container == KEEPER and not seen.gone and seen.uid == self._uid and lives(seen.pod, KEEPER):
            return
        ending = end_of_pod(seen.pod, gone=seen.gone, uid=self._uid)
        if ending.ended:
            raise ContainerEndedError(ending.platform_detail or f"pod {self.name} does not run any more")

    async def _look(self, *, patience: float) -> Seen | None:
        """The pod now; as last seen by the watcher where the API server does not answer."""
        last = self._cluster.watcher.pod(self.name)
        try:
            pod = await self._cluster.api.get(self._path, patience=patience)
        except ApiError as error:
            if error.status == 404 and last is not None:
                return Seen(last.pod, gone=True)
            return last
        return Seen(pod)

    # -- its end

    async def ending(self) -> Ending:
        """The last word on the pod, with its events and its node where it did not end as it should."""
        if self._uid is None:
            return Ending()
        cluster = self._cluster
        last = await self._look(patience=LAST_WORD_S)
        if last is None:
            return Ending()
        first = end_of_pod(last.pod, gone=last.gone, uid=self._uid)
        if first.ended and not self._is_final(last):
            last = await self._settled(last)
            first = end_of_pod(last.pod, gone=last.gone, uid=self._uid)
        node = self._node or str(last.pod["spec"].get("nodeName") or "")
        view = await cluster.nodes.view(node, fresh_s=0.0 if first.ended else 20.0) if node else NodeView(0.0)
        ending = first
        if first.ended:
            pod_events = await events_of(cluster.api, cluster.options.namespace, self._uid, patience=30.0)
            ending = end_of_pod(
                last.pod, gone=last.gone, events=pod_events, node=view.node, node_gone=view.gone, uid=self._uid
            )
        elif view.gone:
            ending = end_of_pod(last.pod, gone=last.gone, node_gone=True, uid=self._uid)
        failures = cluster.api.take_failures()
        calls = {API_ERRORS: failures} if failures else {}
        return replace(ending, node={**ending.node, **facts_at_end(node_facts(view, self.name)), **calls})

    async def _settled(self, last: Seen) -> Seen:
        """The pod once its status is final: an eviction is told only when the keeper has ended, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                return await self._cluster.watcher.until(self.name, self._is_final)
        return last

    def _is_final(self, seen: Seen) -> bool:
        ending = end_of_pod(seen.pod, gone=seen.gone, uid=self._uid)
        return over(seen.pod) or (_explained(ending) and not lost_sight(seen.pod))

    async def remove(self) -> None:
        """Delete the pod, which takes all that belongs to it; waits for a creation under way."""
        self._removing = True
        cluster = self._cluster
        if self._call is not None:
            await asyncio.wait([self._call])
        if self._call is not None or self._uid is not None:
            with contextlib.suppress(ApiError):  # beyond our patience the Lease's end, or the pod's deadline, remove it
                await self._delete(self._call)
        cluster.watcher.forget(self.name)
        cluster.pulls.forget(self.name)

    async def _delete(self, call: asyncio.Task[Json] | None) -> None:
        uid = self._uid
        if uid is None and call is not None and call.exception() is None:
            uid = call.result()["metadata"]["uid"]
        if uid is None:  # no answer came, and the pod may be there all the same
            now = await self._look(patience=LAST_WORD_S)
            if now is None or now.gone or not made_for(now.pod, self.token):
                return
            uid = now.uid
        await self._cluster.api.delete(self._path, uid=uid, patience=LAST_WORD_S)


def _explained(ending: Ending) -> bool:
    return ending.platform is not None or ending.evicted is not None or bool(ending.oom_killed)


def _another_than(seen: Seen | None) -> Callable[[Seen], bool]:
    return lambda now: now is not seen


def _not_running(trouble: Hindrance | None, start_timeout_s: float) -> SandboxError:
    if trouble is None:
        return SandboxError("scheduling", f"the pod did not run within {start_timeout_s:.0f} s, and nothing says why")
    return SandboxError(trouble.cause, trouble.detail)


def _quota_full(error: ApiError) -> bool:
    return error.status == 403 and "exceeded quota" in error.message
