"""What runs leave in a sandbox namespace, and its removal: Leases, the pods and ConfigMaps that they own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Sequence
from typing import Any

from raysweep.apiserver import Api, Json, back_off, config_maps, leases, pods
from raysweep.sandbox.kubernetes.lease import dead_leases
from raysweep.sandbox.kubernetes.pod import RUN, label_value, pod_name

_log = logging.getLogger(__name__)

AT_ONCE = 16
CONFIRMED_S = 30.0
"""How long a removal waits for nodes to confirm it."""


async def remove_run(api: Api, namespace: str, run_id: str, keep: Collection[str] = ()) -> list[str]:
    """Remove all of one run, whoever is alive, but for the pods of the sandboxes in `keep` and what owns them."""
    selector = f"{RUN}={label_value(run_id)}"
    listed, _ = await api.collect(pods(namespace), labelSelector=selector)
    kept = {pod_name(run_id, name) for name in keep}
    spared = {uid for pod in listed if pod["metadata"]["name"] in kept for uid in _owners(pod)}
    held, _ = await api.collect(leases(namespace), labelSelector=selector)
    return [
        *await _remove_leases(api, namespace, [lease for lease in held if lease["metadata"]["uid"] not in spared]),
        *await _remove_pods(api, namespace, selector, [p for p in listed if p["metadata"]["name"] not in kept]),
    ]


async def remove_dead(api: Api, namespace: str) -> list[str]:
    """Remove the Leases of dead runners of every run, and what they own."""
    held, _ = await api.collect(leases(namespace), labelSelector=RUN)
    dead = dead_leases(held)
    if not dead:
        return []
    uids = {lease["metadata"]["uid"] for lease in dead}
    listed, _ = await api.collect(pods(namespace), labelSelector=RUN)
    return [
        *await _remove_leases(api, namespace, dead),
        *await _remove_pods(api, namespace, RUN, [pod for pod in listed if uids & _owners(pod)]),
    ]


def _owners(pod: Json) -> set[str]:
    return {owner["uid"] for owner in pod["metadata"].get("ownerReferences") or ()}


async def _remove_leases(api: Api, namespace: str, held: Sequence[Json]) -> list[str]:
    """Delete Leases, each with the ConfigMap of its name; Kubernetes would remove that by itself, seconds later."""
    jobs = []
    for lease in held:
        name, uid = lease["metadata"]["name"], lease["metadata"]["uid"]
        jobs += [api.delete(leases(namespace, name), uid=uid), api.delete(config_maps(namespace, name))]
    names = [f"{kind} {lease['metadata']['name']}" for lease in held for kind in ("lease", "configmap")]
    removed = [name for name, there in zip(names, await _some_at_once(jobs), strict=True) if there]
    _log.info("removed %s", ", ".join(removed) or "nothing")
    return removed


async def _remove_pods(api: Api, namespace: str, selector: str, listed: Sequence[Json]) -> list[str]:
    """Delete pods and wait until their nodes say that nothing of them runs; those of silent nodes go without it."""
    left = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in listed}
    await _some_at_once([api.delete(pods(namespace, name), uid=uid, grace_s=1) for uid, name in left.items()])
    end = time.monotonic() + CONFIRMED_S
    for wait in back_off(0.2, 2.0):
        there, _ = await api.collect(pods(namespace), labelSelector=selector) if left else ([], "")
        left = {uid: name for uid, name in left.items() if uid in {pod["metadata"]["uid"] for pod in there}}
        if not left or time.monotonic() > end:
            break
        await asyncio.sleep(wait)
    if left:
        _log.warning("removing pods that their nodes do not let go of: %s", ", ".join(left.values()))
    await _some_at_once([api.delete(pods(namespace, name), uid=uid) for uid, name in left.items()])
    for pod in listed:
        _log.info("removed pod %s", pod["metadata"]["name"])
    return [f"pod {pod['metadata']['name']}" for pod in listed]


async def _some_at_once(jobs: Sequence[Coroutine[Any, Any, bool]]) -> list[bool]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(job: Coroutine[Any, Any, bool]) -> bool:
        async with limit:
            return await job

    return await asyncio.gather(*map(one, jobs))
