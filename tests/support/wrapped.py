"""An executor inside another, whose `run` a test replaces."""

from __future__ import annotations


class Wrapped:
    """An executor whose `run` a test replaces."""

    def __init__(self, inner, run):
        self.inner, self._run = inner, run

    async def start(self, run_id):
        return await self.inner.start(run_id)

    async def run(self, order):
        return await self._run(self.inner, order)

    async def close(self):
        await self.inner.close()


def wrapping(run):
    return lambda inner: Wrapped(inner, run)
