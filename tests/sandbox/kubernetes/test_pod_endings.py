"""The last word on a pod is waited for where the API server's first answer is not the last."""

import asyncio
import copy
import json
from pathlib import Path
from types import SimpleNamespace

from raysweep.record.evidence import Evicted
from raysweep.sandbox.kubernetes.container import PodContainer
from raysweep.sandbox.kubernetes.nodes import Nodes
from raysweep.sandbox.kubernetes.pod import PodOptions
from raysweep.sandbox.kubernetes.watch import Watcher
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import Resources
from support.kubernetes_fake import serving, status

PATIENCE_S = 60
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())


def version(number, name, **told):
    """A pod whose container an eviction removed at once, under another name and with other words of the kubelet."""
    pod = copy.deepcopy(RECORDED["storagelost"]["pod"])
    pod["metadata"] |= {"name": name, "resourceVersion": str(number)}
    pod["status"] |= told
    return pod


async def test_a_lost_container_is_not_the_last_word_before_the_pod_has_ended(tmp_path, monkeypatch):
    looked = asyncio.Event()

    def answer(request):
        if "/pods/" in request.path:
            looked.set()
            return 200, version(1, container.name, phase="Running", reason=None, message=None), {}
        if request.path.endswith("/events"):  # its event did not arrive
            return 200, {"metadata": {"resourceVersion": "1"}, "items": []}, {}
        return 404, status(404, "NotFound"), {}

    async with serving(answer, tmp_path, monkeypatch) as (_, api):
        watcher = Watcher(api, "ns", "x=y")
        cluster = SimpleNamespace(api=api, watcher=watcher, nodes=Nodes(api, "ns"), options=PodOptions("ns", "image"))
        container = PodContainer(SandboxSpec("run-1", "t-1", Resources(), Resources()), cluster)
        container._uid = RECORDED["storagelost"]["pod"]["metadata"]["uid"]
        watcher.follow(container.name)
        async with asyncio.timeout(PATIENCE_S):
            ending = asyncio.ensure_future(container.ending())
            await looked.wait()
            done, _ = await asyncio.wait([ending], timeout=0.5)
            assert not done
            watcher.note(version(2, container.name))
            told = await ending
    assert (told.evicted, told.platform) == (Evicted("storage", own_limit=True), None)
