"""A TCP proxy before the API server whose connections can be cut, and which can be away for a while."""

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Proxy:
    """`cut` breaks what is open; while `away` no new connection is taken."""

    def __init__(self, target):
        self.target = target
        self.away = False
        self.served = 0
        self._writers = set()
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self):
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        if self.away:
            writer.transport.abort()
            return
        self.served += 1
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    @staticmethod
    async def _copy(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.write_eof()


def target_of(kubeconfig):
    """Host and port of the API server of a kubeconfig."""
    server = urlsplit(yaml.safe_load(Path(kubeconfig).read_text())["clusters"][0]["cluster"]["server"])
    return server.hostname, server.port or 443


def through(kubeconfig, proxy, folder):
    """A kubeconfig that reaches the same API server through the proxy."""
    told = yaml.safe_load(Path(kubeconfig).read_text())
    cluster = told["clusters"][0]["cluster"]
    cluster["tls-server-name"] = urlsplit(cluster["server"]).hostname
    cluster["server"] = f"https://127.0.0.1:{proxy.port}"
    file = folder / "proxied.kubeconfig"
    file.write_text(yaml.safe_dump(told))
    return str(file)
