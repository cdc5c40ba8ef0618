"""The few calls that deployments need of an API server: apply, create, list, delete, logs. Plain dictionaries."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from raysweep.deploy.names import Json
from raysweep.errors import ExitCode, RaysweepError, UnsuitableError

MANAGER = "raysweep"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
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


class CallError(RaysweepError):
    """A call that the API server refused. status: of HTTP, 0 without an answer; reason: Kubernetes' word."""

    exit_code = ExitCode.UNSUITABLE

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{_HEADS.get(status, 'the cluster refused')}: {message}")


class Cluster:
    """Calls to one cluster, in one namespace; close it at the end, or use it as a context manager."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    @classmethod
    def connect(cls, namespace: str, context: str | None = None) -> Self:
        """The cluster of $KUBECONFIG or ~/.kube/config, in a pod its own; UnsuitableError when there is none."""
        configuration = client.Configuration()
        file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        try:
            if context is None and not any(Path(part).exists() for part in file.split(os.pathsep)):
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(file, context, configuration, persist_config=False)
        except (config.ConfigException, OSError, TypeError, ValueError) as error:
            raise UnsuitableError(
                f"no Kubernetes cluster can be reached: {error}", "set KUBECONFIG, or name a context by --context"
            ) from error
        return cls(client.ApiClient(configuration), namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._api.close()

    def apply(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Server-side apply, ours where others disagree; the object as it is then."""
        query = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
        path = f"{self._collection(manifest['kind'])}/{manifest['metadata']['name']}"
        return self._json("PATCH", path, {**query, **_dry(dry_run)}, json.dumps(manifest), APPLY)

    def create(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Create an object; CallError with reason AlreadyExists where its name is taken."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", **_dry(dry_run)}
        return self._json("POST", self._collection(manifest["kind"]), query, manifest)

    def find(self, kind: str, selector: str) -> list[Json]:
        """Objects of a kind by labels, oldest first; none where the cluster does not know the kind."""
        try:
            items = self._json("GET", self._collection(kind), {"labelSelector": selector})["items"]
        except CallError as error:
            if error.status == 404:
                return []
            raise
        listed: list[Json] = sorted(items, key=lambda item: item["metadata"]["creationTimestamp"])
        return listed

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what it owns; nothing where it is gone already."""
        try:
            self._json("DELETE", f"{self._collection(kind)}/{name}", {"propagationPolicy": "Background"})
        except CallError as error:
            if error.status != 404:
                raise

    def log(self, pod: str, container: str, *, follow: bool = False) -> Iterator[bytes]:
        """A container's output in pieces; `follow`: until it ends."""
        query = {"container": container, "follow": str(follow).lower()}
        response = self._call("GET", f"{self._collection('Pod')}/{pod}/log", query)
        try:
            yield from response.stream(2**16, decode_content=False)
        finally:
            response.release_conn()

    def _collection(self, kind: str) -> str:
        return COLLECTIONS[kind].format(self._namespace)

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        answer: Json = json.loads(self._call(method, path, query, body, headers).data)
        return answer

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        given = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        sent = self._api.param_serialize(
            method, f"{path}?{urlencode(query)}", header_params=given, body=body, auth_settings=["BearerToken"]
        )
        try:
            response = self._api.call_api(*sent).response
        except (client.ApiException, HTTPError, OSError) as error:
            raise CallError(0, "Connection", str(error)) from error
        if response.status >= 400:
            raise _refused(response.status, response.read())
        return response


def _dry(wanted: bool) -> dict[str, str]:
    return {"dryRun": "All"} if wanted else {}


def _refused(status: int, body: bytes) -> CallError:
    try:
        answer = json.loads(body)
        reason, message = answer.get("reason") or "", answer.get("message") or ""
    except (ValueError, AttributeError):
        reason, message = "", body.decode(errors="replace")[:500].strip()
    return CallError(status, reason or f"HTTP{status}", message or f"HTTP {status}")


def remedy(error: CallError, kinds: Sequence[str]) -> str:
    """What helps against a refusal of these kinds."""
    # An API group that is not there answers without a name; a namespace is named.
    if error.status == 404 and "namespaces" not in str(error) and any(kind.startswith("Ray") for kind in kinds):
        return OPERATOR
    if error.status == 401:
        return LOG_IN
    return BASE if error.status in {403, 404} else "see the message"
