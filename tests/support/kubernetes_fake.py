"""A scripted API server for faults that a real one cannot be made to give."""

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp import web

from raysweep.apiserver import Api


def pod(name, uid, version, phase="Running"):
    return {
        "metadata": {"name": name, "uid": uid, "resourceVersion": str(version), "managedFields": [{"manager": "x"}]},
        "spec": {"nodeName": "n", "containers": [{"name": "task", "resources": {}, "env": [{"name": "SECRET"}]}]},
        "status": {"phase": phase},
    }


def status(code, reason, message="m"):
    return {"kind": "Status", "code": code, "reason": reason, "message": message}


class FakeServer:
    """`answer(request)` is asked for each request and returns (status, JSON, headers), or does it all by itself."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []

    async def handle(self, request):
        body = await request.text() if request.method != "GET" else ""
        self.requests.append((request.method, request.path, dict(request.query), json.loads(body) if body else None))
        told = self.answer(request)
        if asyncio.iscoroutine(told):
            return await told
        code, content, headers = told
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(status=code, text=text, headers=headers, content_type="application/json")


@asynccontextmanager
async def serving(answer, tmp_path, monkeypatch):
    """A fake server, and an Api that talks to it."""
    fake = FakeServer(answer)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "secret-token"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(file))
    api = await Api.connect()
    try:
        yield fake, api
    finally:
        await api.close()
        await runner.cleanup()
