"""What runs leave in a sandbox namespace, and its removal: Leases, the pods and ConfigMaps that they own."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from raysweep.sandbox.kubernetes.api import Api, Json, config_maps, leases, pods
from raysweep.sandbox.kubernetes.lease import dead_leases
from raysweep.sandbox.kubernetes.pod import RUN, label_value, pod_name

AT_ONCE = 16


async def remove_run(api: Api, namespace: str, run_id: str, keep: Collection[str] = ()) -> list[str]:
    """Remove all of one run, whoever is alive, but for the pods of the sandboxes in `keep` and what owns them."""
    selector = f"{RUN}={label_value(run_id)}"
    found, _ = await api.collect(pods(namespace), labelSelector=selector)
    kept = {pod_name(run_id, name) for name in keep}
    spared = [pod for pod in found if pod["metadata"]["name"] in kept]
    owners = {owner["uid"] for pod in spared for owner in pod["metadata"].get("ownerReferences") or ()}
    held, _ = await api.collect(leases(namespace), labelSelector=selector)
    removed = await _remove(api, namespace, [lease for lease in held if lease["metadata"]["uid"] not in owners], [])
    return removed + await _remove(api, namespace, [], [pod for pod in found if pod["metadata"]["name"] not in kept])


async def remove_dead(api: Api, namespace: str) -> list[str]:
    """Remove the Leases of dead runners of every run, and what they own."""
    held, _ = await api.collect(leases(namespace), labelSelector=RUN)
    dead = dead_leases(held)
    uids = {lease["metadata"]["uid"] for lease in dead}
    found = (await api.collect(pods(namespace), labelSelector=RUN))[0] if dead else []
    owned = [
        pod
        for pod in found
        if any(owner["uid"] in uids for owner in pod["metadata"].get("ownerReferences") or ())
    ]  # fmt: skip
    return await _remove(api, namespace, dead, owned)


async def _remove(api: Api, namespace: str, held: Sequence[Json], found: Sequence[Json]) -> list[str]:
    """Delete Leases, each with the ConfigMap of its name, and pods; returns what was there, as "pod NAME".

    Kubernetes would remove what a Lease owned by itself, some seconds later.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(kind: str, path: str, uid: str | None) -> str | None:
        async with limit:
            there = await api.delete(path, uid=uid)
        return f"{kind} {path.rpartition('/')[2]}" if there else None

    jobs = []
    for lease in held:
        name, uid = lease["metadata"]["name"], lease["metadata"]["uid"]
        jobs += [one("lease", leases(namespace, name), uid), one("configmap", config_maps(namespace, name), None)]
    jobs += [one("pod", pods(namespace, p["metadata"]["name"]), p["metadata"]["uid"]) for p in found]
    return [told for told in await asyncio.gather(*jobs) if told is not None]
