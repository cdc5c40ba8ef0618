"""What registries say a tag means: its digest by the distribution specification's HTTP API; nothing is pulled.

Belongs here: asking (manifest HEAD, the token flow, `auths` of docker's configuration) and why there is no answer.
Does not: what follows from it. An answer that cannot be had is a value, because a sweep can do without.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from raysweep.sandbox.images import HUB, ImageName, is_digest

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
"""Indexes first: a runtime that pulls by a tag records the digest of the index, where there is one."""
API_HOSTS = {HUB: f"registry-1.{HUB}"}
AUTH_KEYS = {HUB: (f"https://index.{HUB}/v1/", f"index.{HUB}", HUB)}
"""What docker's configuration calls a registry, where that is not its host."""
CALL_S = 15.0
CONNECT_S = 5.0
PAUSES_S = (0.5, 2.0)
"""Waits before another try where the registry is busy."""
MANIFEST_BYTES = 4 << 20
"""Registries need not take larger manifests."""
BUSY = frozenset({408, 429, 500, 502, 503, 504})
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a look-up gave: a digest, or None and why."""

    digest: str | None
    why: str = ""


def docker_auths(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> dict[str, str]:
    """`auths` of docker's configuration as values of an Authorization header; empty where there are none."""
    path = Path(environ.get("DOCKER_CONFIG") or (home or Path.home()) / ".docker") / "config.json"
    try:
        auths = json.loads(path.read_text()).get("auths", {})
        return {key: f"Basic {value['auth']}" for key, value in auths.items() if value.get("auth")}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


@dataclass(slots=True)
class Registries:
    """Asks registries for digests. Use `async with`; a host that cannot be reached is tried once.

    auths: as `docker_auths` gives them.
    """

    auths: Mapping[str, str] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None
    _away: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_S, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "raysweep"})
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None  # noqa: S101 - made by __aenter__
        await self._session.close()

    async def digest(self, name: ImageName) -> Resolution:
        """What the tag of `name` means now; the digest that the name carries itself, if it carries one."""
        if name.digest is not None:
            return Resolution(name.digest)
        host = API_HOSTS.get(name.host, name.host)
        said = self._away.get(host, "")
        for base in () if said else _bases(host):
            try:
                return await self._patiently(base, name)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = f"{host} cannot be reached ({type(error).__name__})"
            except ValueError as error:  # what it sent is not what the specification says
                return Resolution(None, f"{host} gave an answer that is not understood ({error})")
        self._away[host] = said
        return Resolution(None, said)

    async def _patiently(self, base: URL, name: ImageName) -> Resolution:
        for pause in (*PAUSES_S, None):
            status, digest = await self._look(base, name)
            if status not in BUSY or pause is None:
                break
            await asyncio.sleep(pause)
        return Resolution(digest) if digest is not None else Resolution(None, _why(base.host or "", status))

    async def _look(self, base: URL, name: ImageName) -> tuple[int, str | None]:
        """(status, digest) of one look at the manifest, with a token where the registry wants one."""
        url = base / "v2" / name.path / "manifests" / name.tag
        status, head, _ = await self._call("HEAD", url)
        authorization: str | None = None
        if status == 401:
            authorization = await self._authorization(head.get("WWW-Authenticate", ""), base, name)
            if authorization is None:
                return status, None
            status, head, _ = await self._call("HEAD", url, authorization)
        answer = head.get("Docker-Content-Digest", "")
        if status == 200 and is_digest(answer):
            return status, answer
        if status not in {200, 405}:
            return status, None
        status, _, body = await self._call("GET", url, authorization)
        return status, f"sha256:{hashlib.sha256(body).hexdigest()}" if status == 200 else None

    async def _authorization(self, challenge: str, base: URL, name: ImageName) -> str | None:
        """What answers a challenge; None when nothing that we have does."""
        kind, _, rest = challenge.partition(" ")
        ours = next((self.auths[key] for key in _auth_keys(name.host) if key in self.auths), None)
        if kind.lower() == "basic":
            return ours
        asked = dict(_PARAMETER.findall(rest))
        realm = URL(asked.pop("realm", ""))
        if kind.lower() != "bearer" or not realm.host or (realm.scheme != "https" and base.scheme == "https"):
            return None
        asked.setdefault("scope", f"repository:{name.path}:pull")
        query = {key: asked[key] for key in ("service", "scope") if key in asked}
        status, _, body = await self._call("GET", realm.update_query(query), ours)
        answer: Any = json.loads(body) if status == 200 else {}
        token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
        return f"Bearer {token}" if isinstance(token, str) else None

    async def _call(
        self, method: str, url: URL, authorization: str | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, head and body of one answer. ValueError: the body is larger than any that is of use."""
        assert self._session is not None  # noqa: S101 - made by __aenter__
        headers = {"Accept": ACCEPT} | ({"Authorization": authorization} if authorization else {})
        async with self._session.request(method, url, headers=headers, proxy=_proxy(url)) as answer:
            body = b""
            async for part in answer.content.iter_chunked(1 << 16):
                body += part
                if len(body) > MANIFEST_BYTES:
                    raise ValueError("too large")
            return answer.status, answer.headers, body


def _auth_keys(host: str) -> tuple[str, ...]:
    return AUTH_KEYS.get(
        host, (host, f"https://{host}", f"https://{host}/", f"https://{host}/v1/", f"https://{host}/v2/")
    )


def _bases(host: str) -> tuple[URL, ...]:
    """Where a registry may listen: TLS, and on this machine itself plain HTTP too, as container runtimes have it."""
    secure = URL(f"https://{host}")
    return (secure, URL(f"http://{host}")) if _is_here(secure.host or "") else (secure,)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy(url: URL) -> str | None:
    """The proxy of the environment for `url`; not by aiohttp's trust_env, which would send credentials of ~/.netrc."""
    host = url.host or ""
    return None if _is_here(host) or proxy_bypass(host) else getproxies().get(url.scheme)


def _why(host: str, status: int) -> str:
    if status in {401, 403}:
        return f"{host} gives no access to it"
    if status == 404:
        return f"{host} does not have it"
    return f"{host} is busy or limits the rate ({status})" if status in BUSY else f"{host} answered {status}"
