"""A registry of a test's own: manifests, blobs and the token flow over plain HTTP, with what can go wrong with them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class FakeRegistry:
    """`with FakeRegistry() as registry`. access: open, token (anonymous), private (token for `user` only) or basic.

    busy: how many requests for manifests are answered 429 first. tells_digest: whether heads carry the digest.
    silent: a repository about which nothing is ever answered.
    asked: method, repository and reference of each request for a manifest that was let in.
    """

    access: str = "token"
    user: str = "Basic nobody"
    busy: int = 0
    tells_digest: bool = True
    silent: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    _manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    _blobs: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.host = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _start(self) -> str:
        app = web.Application()
        app.router.add_get("/token", self._token)
        app.router.add_get("/v2/", self._version)
        app.router.add_get("/v2/{path:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{path:.+}/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"127.0.0.1:{self._runner.addresses[0][1]}"

    def tag(self, path: str, tag: str, manifest: bytes, kind: str = INDEX) -> str:
        """Let a tag mean this manifest from now on; the digest."""
        digest = digest_of(manifest)
        self._manifests[path, tag] = self._manifests[path, digest] = manifest, kind
        return digest

    def push(self, path: str, tag: str, config: dict, layer: bytes) -> str:
        """Let a tag mean an image of one layer from now on; the digest of its manifest."""
        told = json.dumps(config | {"rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}).encode()
        self._blobs |= {digest_of(told): told, digest_of(layer): layer}
        parts = [
            {"mediaType": kind, "size": len(b), "digest": digest_of(b)} for kind, b in ((CONFIG, told), (LAYER, layer))
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}
        return self.tag(path, tag, json.dumps(manifest).encode(), MANIFEST)

    def _challenge(self, request: web.Request, path: str = "") -> web.Response | None:
        """What a request without the right authorization is answered."""
        given = request.headers.get("Authorization", "")
        if self.access == "open" or (self.access == "basic" and given == self.user):
            return None
        if self.access in {"token", "private"} and given == f"Bearer {path or 'any'}":
            return None
        told = f'Bearer realm="http://{self.host}/token",service="tests",scope="repository:{path}:pull"'
        head = {"WWW-Authenticate": told if self.access != "basic" else 'Basic realm="tests"'}
        return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401, headers=head)

    async def _token(self, request: web.Request) -> web.Response:
        given, scope = request.headers.get("Authorization", ""), request.query.get("scope", "")
        self.tokens.append((request.query["service"], scope))
        if self.access == "private" and given != self.user:
            return web.Response(status=401)
        return web.json_response({"token": scope.split(":")[1] if scope else "any"})

    async def _version(self, request: web.Request) -> web.Response:
        return self._challenge(request) or web.json_response({})

    async def _manifest(self, request: web.Request) -> web.Response:
        path, reference = request.match_info["path"], request.match_info["reference"]
        if path == self.silent:
            await asyncio.sleep(3600)
        if (refused := self._challenge(request, path)) is not None:
            return refused
        self.asked.append((request.method, path, reference))
        self.accepted.append(request.headers.get("Accept", ""))
        if self.busy > 0:
            self.busy -= 1
            return web.Response(status=429)
        if (path, reference) not in self._manifests:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        body, kind = self._manifests[path, reference]
        head = {"Docker-Content-Digest": digest_of(body)} if self.tells_digest else {}
        return web.Response(body=body, content_type=kind, headers=head)

    async def _blob(self, request: web.Request) -> web.Response:
        if (refused := self._challenge(request, request.match_info["path"])) is not None:
            return refused
        body = self._blobs.get(request.match_info["digest"])
        return web.Response(status=404) if body is None else web.Response(body=body)
