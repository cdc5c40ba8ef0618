"""The kubernetes kind of sandbox as a provider: options travel, each process and event loop enters the cluster anew."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from raysweep.apiserver import Api, ApiError, config_maps
from raysweep.clock import Clock
from raysweep.errors import SandboxError, UnsuitableError
from raysweep.sandbox.kubernetes.doctor import run_checks
from raysweep.sandbox.kubernetes.gc import remove_dead, remove_run
from raysweep.sandbox.kubernetes.options import KubernetesOptions
from raysweep.sandbox.kubernetes.pod import pod_name
from raysweep.sandbox.kubernetes.probe import Proof, probe
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.kubernetes.session import ClusterSession, reference, unsuitable
from raysweep.sandbox.protocol import (
    SUPERVISOR_PROBES,
    Capabilities,
    Check,
    Planned,
    ProbeCommands,
    Sandbox,
    SandboxSpec,
)
from raysweep.sandbox.threads import in_thread

_PROOFS: dict[str, Proof] = {}
"""What this process measured, by the options that matter for it."""


class KubernetesProvider:
    """Pods of one namespace. Arguments: see `KubernetesOptions`. Picklable; one per runner."""

    kind = "kubernetes"

    def __init__(self, *, pids: int | None = None, **options: Any) -> None:  # noqa: ARG002 - the kubelet decides on pids
        self.options = KubernetesOptions(**options)
        self._reset()

    @staticmethod
    def _silent(check: Check) -> None:
        """Nobody wants to hear of a check before all are known."""

    def _reset(self) -> None:
        self.checked: Callable[[Check], None] = self._silent
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, ClusterSession]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.options = state["options"]
        self._reset()

    @property
    def _key(self) -> str:
        """Equal for providers whose pods are treated alike."""
        return repr((self.options.context, self.options.pods()))

    def capabilities(self) -> Capabilities:
        """What is enforced here, as measured by a probe pod; nothing where there can be none."""
        if self._key not in _PROOFS:
            try:
                in_thread(self._measure_alone())
            except UnsuitableError:
                return Capabilities()
        return _PROOFS[self._key].capabilities

    def remember(self, proof: Proof) -> None:
        """Keep what the doctor's probe pod measured: this process need not measure it again."""
        _PROOFS[self._key] = proof

    async def _measure_alone(self) -> None:
        run_id = f"probe-{uuid.uuid4().hex[:12]}"
        try:
            await self.prepare(run_id)
        finally:
            await self.gc(run_id)

    def probe_commands(self) -> ProbeCommands:
        """The supervisor's own helpers."""
        return SUPERVISOR_PROBES

    def doctor(self, planned: Planned | None = None) -> Sequence[Check]:
        """What is missing here, for what is planned, and how to get it; proven by probe pods."""
        return in_thread(run_checks(self, planned or Planned()))

    async def prepare(self, run_id: str) -> Mapping[str, str | int | float | bool | None]:
        """Enter the cluster as a runner of `run_id`, clear what dead runners left, measure; UnsuitableError."""
        sessions = self._sessions.setdefault(asyncio.get_running_loop(), {})
        session = sessions.get(run_id)
        if session is None or session.over:
            session = sessions[run_id] = await ClusterSession.begin(self.options.session(), run_id)
            try:
                session.facts = await self._look_around(session, run_id)
            except BaseException:
                await session.end()
                raise
        return session.facts

    async def _look_around(self, session: ClusterSession, run_id: str) -> dict[str, str | int | float | bool | None]:
        api, namespace = session.cluster.api, self.options.namespace
        try:
            await remove_dead(api, namespace)
            version = (await api.get("/version"))["gitVersion"]
            proof = _PROOFS[self._key] = _PROOFS.get(self._key) or await self._proof(session, run_id)
        except ApiError as error:
            raise unsuitable(error, namespace) from error
        except SandboxError as error:
            raise UnsuitableError(f"no probe pod could run: {error}", "see `raysweep doctor --config`") from error
        measured = proof.capabilities
        if self.options.require_isolation and not measured.network_isolation:
            raise UnsuitableError(
                "a pod without network reached the API server: no NetworkPolicy is enforced",
                "apply cluster/sandboxes on a cluster whose network plug-in enforces policies, "
                "or set sandbox.require_isolation to false",
            )
        return {
            "name": proof.node,
            "namespace": namespace,
            "kubernetes": version,
            "runner": session.cluster.lease.runner,
            "cgroup": measured.cgroup,
            "oom": measured.oom,
            "pids": proof.pids_limit,
            "network_isolation": measured.network_isolation,
            "clock_offset_s": proof.clock_offset_s,
        }

    async def _proof(self, session: ClusterSession, run_id: str) -> Proof:
        """What a runner of this run measured already, else a probe pod's word, kept for the others as a ConfigMap."""
        cluster, namespace = session.cluster, self.options.namespace
        name = pod_name(run_id, "proof")
        try:
            stored = await cluster.api.get(config_maps(namespace, name))
            return Proof.from_json(json.loads(stored["data"]["proof"]))
        except ApiError as error:
            if error.status != 404:
                raise
        proof = await probe(cluster, run_id)
        metadata = {"name": name, "ownerReferences": [reference(cluster.lease.owner())]}
        try:
            manifest = {"metadata": metadata, "data": {"proof": json.dumps(proof.to_json())}}
            await cluster.api.create(config_maps(namespace), manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return proof

    def open(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox that is not started yet; prepare() must have been awaited in this event loop for its run."""
        session = self._sessions.get(asyncio.get_running_loop(), {}).get(spec.run_id)
        if session is None:
            raise UnsuitableError(f"run {spec.run_id} was not prepared here", "await prepare() first")
        return PodSandbox(spec, session.cluster)

    async def gc(self, run_id: str | None, *, keep: frozenset[str] = frozenset()) -> Sequence[str]:
        """Remove one run's pods, Leases and ConfigMaps, or those of all whose runner is dead."""
        session = self._sessions.get(asyncio.get_running_loop(), {}).get(run_id or "")
        if session is not None and not keep:
            await session.end()
        api = await Api.connect(self.options.context)
        try:
            if run_id is None:
                return await remove_dead(api, self.options.namespace)
            return await remove_run(api, self.options.namespace, run_id, keep)
        except ApiError as error:
            raise unsuitable(error, self.options.namespace) from error
        finally:
            await api.close()


def make(owner: str, scratch: Path, clock: Clock | None, options: Mapping[str, Any]) -> KubernetesProvider:  # noqa: ARG001 - one form for all kinds
    """As SandboxKind.provider."""
    return KubernetesProvider(owner=owner, **options)
