"""Who owns pods: each runner has a Lease in the sandbox namespace, and its pods go when the Lease goes.

A runner renews its own Lease. One that is not renewed any more belongs to a dead runner: its peers delete it, as do the
reaper and `raysweep gc`, and Kubernetes removes what it owned. The Leases of a run also tell how many runners share the
run's rate of creation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self

from raysweep.apiserver import Api, ApiError, Json, leases
from raysweep.errors import SandboxError
from raysweep.process import died_here, place, process_token
from raysweep.sandbox.kubernetes.pod import RUN, RUNNER, Owner, label_value, pod_name

_log = logging.getLogger(__name__)

DURATION_S = 180
"""A Lease that was not renewed for this long has expired; outages of the API server should be shorter."""

RENEW_S = 20.0


class RunnerLease:
    """The Lease of one runner of a run, renewed while it is entered as an async context manager."""

    def __init__(self, api: Api, namespace: str, run_id: str, owner: str) -> None:
        self._api = api
        self._namespace = namespace
        self._run_id = run_id
        self.runner = f"{owner}-{secrets.token_hex(3)}"
        self.name = pod_name(run_id, self.runner)
        self._holder = f"{owner}@{place() or socket.gethostname()}/{process_token()}"
        self._stored: Json = {}
        self._renewed = 0.0
        self._lost: str | None = None
        self._suspects: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.runners = 1

    async def __aenter__(self) -> Self:
        self._stored = await self._api.create(leases(self._namespace), self._body())
        self._renewed = time.monotonic()
        with contextlib.suppress(ApiError):  # counted again in a moment
            await self._count()
        self._task = asyncio.create_task(self._keep(), name=f"lease {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with contextlib.suppress(ApiError):
            await self._api.delete(
                leases(self._namespace, self.name), uid=self._stored["metadata"]["uid"], patience=5.0
            )

    def owner(self) -> Owner:
        """The owner of what this runner makes; SandboxError when the Lease is gone or has expired."""
        if self._lost is None and time.monotonic() - self._renewed > DURATION_S:
            raise SandboxError("api_server", f"Lease {self.name} could not be renewed for more than {DURATION_S} s")
        if self._lost is not None:
            raise SandboxError("runner_lost", self._lost)
        return Owner(self.name, self._stored["metadata"]["uid"])

    def _body(self) -> Json:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {RUN: label_value(self._run_id), RUNNER: label_value(self.runner)},
            },
            "spec": {"holderIdentity": self._holder, "leaseDurationSeconds": DURATION_S, "renewTime": _now()},
        }

    async def _keep(self) -> None:
        while self._lost is None:
            await asyncio.sleep(RENEW_S)
            try:
                await self._renew()
                await self._count()
            except ApiError as error:  # the next round tries again; owner() says when it is too late
                _log.warning("Lease %s was not renewed: %s", self.name, self._lost or error)

    async def _renew(self) -> None:
        path = leases(self._namespace, self.name)
        try:
            stored = await self._api.get(path)
            stored["spec"]["renewTime"] = _now()
            self._stored = await self._api.replace(path, stored)
        except ApiError as error:
            if error.status == 404:
                self._lost = f"Lease {self.name} was deleted: another driver took the run over, or it was cleaned away"
            raise
        self._renewed = time.monotonic()

    async def _count(self) -> None:
        """Count the runners of this run; remove Leases that two looks in a row found dead and unchanged."""
        selector = f"{RUN}={label_value(self._run_id)}"
        held, _ = await self._api.collect(leases(self._namespace), labelSelector=selector)
        dead = {lease["metadata"]["uid"]: lease["metadata"]["resourceVersion"] for lease in dead_leases(held)}
        dead.pop(self._stored["metadata"]["uid"], None)
        for lease in held:
            metadata = lease["metadata"]
            version = metadata["resourceVersion"]
            if dead.get(metadata["uid"]) == version == self._suspects.get(metadata["uid"]):
                _log.warning("removing Lease %s, whose runner is dead", metadata["name"])
                await self._api.delete(leases(self._namespace, metadata["name"]), uid=metadata["uid"], version=version)
        self._suspects = dead
        self.runners = max(1, len(held) - len(dead))


def dead_leases(held: Iterable[Json]) -> list[Json]:
    """Those whose runner is known to be dead: its process ran here and is gone, or it renewed too long ago."""
    return [lease for lease in held if is_dead(lease, datetime.now(UTC))]


def is_dead(lease: Json, now: datetime) -> bool:
    """Whether a Lease's runner is dead, as seen from this process at `now`."""
    spec = lease["spec"]
    holder = re.fullmatch(r".*@(.+)/(\d+-[^/]+)", spec.get("holderIdentity") or "")
    if holder is not None and died_here(holder[1], holder[2]):
        return True
    renewed = datetime.fromisoformat(spec.get("renewTime") or lease["metadata"]["creationTimestamp"])
    return (now - renewed).total_seconds() > (spec.get("leaseDurationSeconds") or DURATION_S)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
