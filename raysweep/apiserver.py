"""The one client of Kubernetes' API server: configuration, raw JSON calls, one kind of error, patience with failures.

Sandboxes in pods use it as it is, `raysweep.deploy` from code that waits. No typed models (they parse six times
slower), no knowledge of pods: paths and dictionaries only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from raysweep.errors import UnsuitableError

_log = logging.getLogger(__name__)

Json = dict[str, Any]
"""A JSON object as the API server speaks it."""

JSON = "application/json"
PATIENCE_S = 30.0
"""How long a call is tried again, in all, where it says nothing else."""

CALL_TIMEOUT_S = 30.0
"""One call that takes longer is broken off (and tried again if it may be)."""
HEARTBEAT_S = 30.0
"""A WebSocket that does not answer a ping within half of this is dead."""
PAGE = 500
"""Objects per page of a list."""
CALLS_AT_ONCE = 32
"""Further calls wait for their turn: each needs a connection of its own, of some 100 KB."""


class ApiError(Exception):
    """A call that failed.

    status: HTTP status, 0 when no answer came. reason: Kubernetes' word ("NotFound", "AlreadyExists", "Conflict",
    "Invalid", "Forbidden" ...), "Connection" without an answer. retry_after: seconds that the server asked for.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{status or 'no answer'} {reason}: {message}")

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later: no answer, 408, 429, 5xx."""
        return self.status in {0, 408, 429} or self.status >= 500


def back_off(first: float = 0.1, cap: float = 5.0) -> Iterator[float]:
    """Endless waits in seconds, doubling up to `cap`, with jitter so that runners do not march in step."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.0)
        wait = min(cap, wait * 2)


def pods(namespace: str, name: str = "") -> str:
    """Path of the pods of a namespace, or of one."""
    return _path(f"/api/v1/namespaces/{namespace}/pods", name)


def config_maps(namespace: str, name: str = "") -> str:
    """Path of the ConfigMaps of a namespace, or of one."""
    return _path(f"/api/v1/namespaces/{namespace}/configmaps", name)


def events(namespace: str) -> str:
    """Path of the events of a namespace."""
    return f"/api/v1/namespaces/{namespace}/events"


def leases(namespace: str, name: str = "") -> str:
    """Path of the Leases of a namespace, or of one."""
    return _path(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", name)


def nodes(name: str = "") -> str:
    """Path of the nodes, or of one."""
    return _path("/api/v1/nodes", name)


def _path(collection: str, name: str) -> str:
    return f"{collection}/{name}" if name else collection


async def load_configuration(context: str | None = None) -> Configuration:
    """Where the API server is and who we are: $KUBECONFIG or ~/.kube/config, else the pod we run in.

    UnsuitableError when there is neither, or no such context.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # exec streams stay open; a bound would let them starve the calls
    file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    try:
        if context is None and not any(Path(part).exists() for part in file.split(os.pathsep)):
            load_incluster_config(client_configuration=configuration)
        else:
            loader = await load_kube_config(file, context, configuration, persist_config=False)
            if getattr(loader, "_user", None) is not None and "exec" in loader._user:  # noqa: SLF001 - as its refresh_token()
                configuration.refresh_api_key_hook = _refresher(loader)
    except (ConfigException, OSError, TypeError, ValueError) as error:
        raise UnsuitableError(
            f"no Kubernetes cluster can be reached: {error}",
            "set KUBECONFIG, or name a context of it as sandbox.context, or run inside a cluster",
        ) from error
    return configuration


def _refresher(loader: Any) -> Any:
    """A hook for clusters whose credentials come from a plug-in and expire; the plug-in runs only when they do."""
    lock = asyncio.Lock()

    async def refresh(configuration: Any) -> None:
        async with lock:
            await loader.load_from_exec_plugin()
        if hasattr(loader, "token"):
            configuration.api_key["BearerToken"] = loader.token

    return refresh


class Api:
    """Calls to one API server, from one event loop. Close it at the end.

    Reads and deletions are tried again within `patience` seconds while the error is transient; what is created or
    replaced is sent once, as only the caller knows what a lost answer may mean.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._client: Any = ApiClient(configuration)
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)
        self._failures: Counter[str] = Counter()

    @classmethod
    async def connect(cls, context: str | None = None) -> Self:
        """A client for the cluster of `load_configuration`; says nothing to the server yet."""
        return cls(await load_configuration(context))

    async def close(self) -> None:
        """Give up all connections."""
        await self._client.close()

    def take_failures(self) -> str:
        """Calls that failed for a reason that passes since this was last asked, by status: `429=2 none=1`."""
        told = " ".join(f"{status}={count}" for status, count in sorted(self._failures.items()))
        self._failures.clear()
        return told

    async def get(self, path: str, *, patience: float = PATIENCE_S, **query: str) -> Json:
        """An object, or whatever JSON is at `path`."""
        return await self._patiently(patience, "GET", path, query)

    async def create(
        self, path: str, body: Json, *, dry_run: bool = False, timeout: float = CALL_TIMEOUT_S, **query: str
    ) -> Json:
        """Create an object in a collection; returns it as admitted. dry_run: everything but the storing."""
        return await self._once("POST", path, {**query, **({"dryRun": "All"} if dry_run else {})}, body, timeout)

    async def patch(self, path: str, body: Json, form: str, **query: str) -> Json:
        """Patch an object, which may be done twice. form: content type of `body`, which says how it is applied."""
        return await self._patiently(PATIENCE_S, "PATCH", path, query, body, form)

    async def replace(self, path: str, body: Json) -> Json:
        """Replace an object; 409 Conflict when its resourceVersion is not the stored one."""
        return await self._once("PUT", path, {}, body)

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace_s: int | None = 0,
        patience: float = PATIENCE_S,
    ) -> bool:
        """Delete an object; False when it is not there, or not the one with this uid or version.

        grace_s: of a pod; 0 removes the object at once, more keeps it until its node says that nothing of it runs.
            None: as the object itself says.
        """
        body: Json = {"propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        wanted = {"uid": uid, "resourceVersion": version}
        if preconditions := {k: v for k, v in wanted.items() if v is not None}:
            body["preconditions"] = preconditions
        try:
            await self._patiently(patience, "DELETE", path, {}, body)
        except ApiError as error:
            if error.status in {404, 409}:
                return False
            raise
        return True

    async def collect(self, path: str, *, patience: float = PATIENCE_S, **query: str) -> tuple[list[Json], str]:
        """All objects of a collection in pages, and the resourceVersion at which they were so."""
        items: list[Json] = []
        page = await self.get(path, patience=patience, limit=str(PAGE), **query)
        while True:
            items += page.get("items") or []
            more = page["metadata"].get("continue")
            if not more:
                return items, page["metadata"]["resourceVersion"]
            page = await self.get(path, patience=patience, limit=str(PAGE), **{**query, "continue": more})

    async def watch(self, path: str, *, silence: float, **query: str) -> AsyncIterator[Json]:
        """Events of a watch until the server ends it; ApiError when it fails or nothing comes for `silence` seconds."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT_S, sock_read=silence)
        async with self._response("GET", path, {"watch": "true", **query}, None, timeout) as response:
            pending = b""
            async for chunk in response.content.iter_any():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    async def stream(self, path: str, **query: str) -> AsyncIterator[bytes]:
        """What is at `path` in pieces as they come, until its end; ApiError when it cannot be had."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT_S)
        async with self._response("GET", path, query, None, timeout) as response:
            async for piece in response.content.iter_any():
                yield piece

    async def websocket(
        self, path: str, query: list[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket that speaks `protocol`; ApiError when it is refused."""
        rest, configuration = self._client.rest_client, self._client.configuration
        if rest.pool_manager is None:  # the library makes it with the first call
            await self.get("/version")
        session: aiohttp.ClientSession = rest.pool_manager
        try:
            url, headers = await self._address("GET", f"{path}?{urlencode(query)}")
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await session.ws_connect(
                    url,
                    headers={**headers, "sec-websocket-protocol": protocol},
                    heartbeat=HEARTBEAT_S,
                    proxy=configuration.proxy,
                    proxy_headers=configuration.proxy_headers,
                    server_hostname=configuration.tls_server_name or None,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError(error.status, "Refused", error.message) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(error) from error

    async def _patiently(
        self,
        patience: float,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        form: str = JSON,
    ) -> Json:
        end = time.monotonic() + patience
        for wait in back_off():
            try:
                return await self._once(method, path, query, body, form=form)
            except ApiError as error:
                pause = max(wait, error.retry_after or 0.0)
                if not error.transient or time.monotonic() + pause > end:
                    raise
                _log.info("trying %s %s again in %.1f s", method, path, pause)
            await asyncio.sleep(pause)
        raise AssertionError("back_off() never ends")

    async def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        timeout: float = CALL_TIMEOUT_S,
        form: str = JSON,
    ) -> Json:
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._turns, self._response(method, path, query, body, limit, form) as response:
                answer: Json = json.loads(await response.read())
                return answer
        except ApiError as error:
            if error.transient:
                _log.warning("%s %s failed: %s", method, path, error)
                self._failures[str(error.status or "none")] += 1
            raise

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        timeout: aiohttp.ClientTimeout,
        form: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The open response of a call that succeeded; whatever else becomes of it is an ApiError."""
        try:
            url, headers = await self._address(method, path + (f"?{urlencode(query)}" if query else ""), form)
            answer = await self._client.rest_client.request(method, url, headers, body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status >= 400:
                    raise _refused(response.status, await response.read(), response.headers.get("Retry-After"))
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(error) from error
        except ValueError as error:
            raise ApiError(0, "Connection", f"not JSON: {error}") from error

    async def _address(self, method: str, resource: str, form: str = JSON) -> tuple[str, dict[str, str]]:
        headers = {"Accept": JSON, "Content-Type": form}
        serialized = await self._client.param_serialize(
            method, resource, header_params=headers, auth_settings=["BearerToken"]
        )
        return serialized[1], serialized[2]


def _refused(status: int, body: bytes, retry_after: str | None) -> ApiError:
    try:
        told = json.loads(body)
        reason, message = told.get("reason") or "", told.get("message") or ""
    except (ValueError, AttributeError):
        reason, message = "", body.decode(errors="replace")[:500].strip()
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(status, reason or f"HTTP{status}", message, seconds)


def _no_answer(error: Exception) -> ApiError:
    return ApiError(0, "Connection", f"{type(error).__name__}: {error}")
