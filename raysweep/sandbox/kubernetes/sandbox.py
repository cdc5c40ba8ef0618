"""A pod as a sandbox: what `SupervisedSandbox` makes of it, and the folders that every task may count on."""

from __future__ import annotations

import asyncio

from raysweep.errors import SandboxError
from raysweep.sandbox.kubernetes.container import ClusterContext, PodContainer
from raysweep.sandbox.protocol import Admitted, SandboxSpec
from raysweep.sandbox.supervised.sandbox import SupervisedSandbox

TASK_FOLDERS = ("/app", "/logs/agent", "/logs/verifier", "/tests", "/solution")
_NOTHING = bytes(1024)
"""A tar archive without members; unpacking it makes the folder that it is unpacked to."""


class PodSandbox(SupervisedSandbox):
    """A sandbox that runs as a pod on `cluster`."""

    def __init__(self, spec: SandboxSpec, cluster: ClusterContext) -> None:
        super().__init__(spec, PodContainer(spec, cluster))
        self.cluster = cluster

    async def start(self) -> Admitted:
        """As Sandbox.start; folders that the image does not have are made."""
        admitted = await super().start()
        try:
            await asyncio.gather(*(self.put(_NOTHING, path) for path in {*TASK_FOLDERS, self.spec.workdir}))
        except OSError as error:
            raise SandboxError("image", f"the image has not the folders that a task needs: {error}") from error
        return admitted

    async def environment(self) -> dict[str, str]:
        """What process 1 got as its environment, the platform's part included."""
        body = (await self._running().ask("environment")).body
        pairs = (entry.partition(b"=") for entry in body.split(b"\0") if entry)
        return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}
