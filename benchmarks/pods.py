"""Pods in numbers, on the cluster of $KUBECONFIG, in a namespace of its own that goes at the end.

    python benchmarks/pods.py ready [100] [--rounds 4]
    python benchmarks/pods.py concurrent [300]
    python benchmarks/pods.py simulated [500 1000 2500 5000] [--rate 50]
    python benchmarks/pods.py rest [--seconds 60]

ready: N sandboxes at once until each has answered its first command, beside a raw loop with the Kubernetes client that
creates N pods of the same manifest and sees them run by one watch; in turns, the median ratio counts. Goal: <= 1.2.
concurrent: N sandboxes at once; commands in all of them at once while all live. Goal: no API error.
simulated: N pods created, seen running and removed by one process, a fresh one for each N, on nodes that run nothing
(kwok: label type=kwok, taint kwok.x-k8s.io/node): its memory and cpu, and those of a watcher alone, per pod; requests
to the API server by kind. Goal: flat per pod, no API error. The nodes are the caller's to make and to remove.
rest: what the supervisors of one sandbox cost while nothing is done in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import aiohttp
from kubernetes.aio.client import ApiClient, CoreV1Api

from raysweep.apiserver import Api, ApiError, back_off, load_configuration, nodes
from raysweep.sandbox.kubernetes import session
from raysweep.sandbox.kubernetes.container import ClusterContext, PodContainer
from raysweep.sandbox.kubernetes.gc import remove_run
from raysweep.sandbox.kubernetes.options import KubernetesOptions
from raysweep.sandbox.kubernetes.pod import ARCH, RUNNER, Binding, label_value, pod_manifest, pod_name
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.kubernetes.session import ClusterSession
from raysweep.sandbox.kubernetes.watch import Watcher
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.samples import parse_rows
from raysweep.units import MIB, Resources

SMALL = Resources(cpu=2, memory=16 * MIB)
ROOMY = Resources(cpu=1000, memory=64 * MIB)
RAW = "raw"
SIMULATED = {"type": "kwok"}
TAINT = {"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}
NAMESPACES = "/api/v1/namespaces"


class CountedApi(Api):
    """Counts what is asked of the API server, and what it did not give."""

    asked: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, query: Any, body: Any, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        words = path.split("/")
        plural = next((w for w in ("pods", "nodes", "events", "leases", "configmaps") if w in words), words[-1])
        named = words[-1] != plural
        verb = "watch" if "watch" in query else "list" if method == "GET" and not named else method.lower()
        self.asked[f"{verb} {plural}"] += 1
        try:
            async with super()._response(method, path, query, body, timeout) as response:
                yield response
        except ApiError as error:
            self.refused[f"{verb} {plural}: {error.status} {error.reason}"] += 1
            raise

    async def websocket(
        self, path: str, query: list[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """As Api.websocket."""
        self.asked["connect pods/exec"] += 1
        try:
            return await super().websocket(path, query, protocol)
        except ApiError as error:
            self.refused[f"connect pods/exec: {error.status} {error.reason}"] += 1
            raise

    @classmethod
    def told(cls) -> str:
        """Requests by kind, and errors."""
        asked = ", ".join(f"{kind} {count}" for kind, count in sorted(cls.asked.items()))
        return f"requests: {asked}\n   API errors: {sum(cls.refused.values())} {dict(cls.refused) or ''}"


def spec(run_id: str, name: str) -> SandboxSpec:
    """A sandbox that asks for next to nothing."""
    return SandboxSpec(run_id, name, SMALL, ROOMY)


@asynccontextmanager
async def session_in(options: KubernetesOptions) -> AsyncIterator[tuple[ClusterContext, str]]:
    """The cluster context of a new run and its id; nothing of it is left."""
    run_id = f"bench-{uuid.uuid4().hex[:8]}"
    with mock.patch.object(session, "Api", CountedApi):
        held = await ClusterSession.begin(options.session(), run_id)
    try:
        yield held.cluster, run_id
    finally:
        await held.end()
        api = await Api.connect()
        await remove_run(api, options.namespace, run_id)
        await api.close()


@asynccontextmanager
async def own_namespace() -> AsyncIterator[str]:
    """The name of a fresh namespace."""
    name = f"raysweep-bench-{uuid.uuid4().hex[:6]}"
    api = await Api.connect()
    try:
        await api.create(NAMESPACES, {"metadata": {"name": name}})
        for wait in back_off(cap=1.0):  # no pod is admitted before the namespace has its account
            if (await api.get(f"{NAMESPACES}/{name}/serviceaccounts"))["items"]:
                break
            await asyncio.sleep(wait)
        yield name
    finally:
        await api.delete(f"{NAMESPACES}/{name}")
        with contextlib.suppress(ApiError):  # until it is not found
            for wait in back_off(cap=1.0):
                await api.get(f"{NAMESPACES}/{name}")
                await asyncio.sleep(wait)
        await api.close()


async def raw(cluster: ClusterContext, run_id: str, count: int) -> float:
    """Seconds from the first creation until all pods run: the client, one watch, and nothing else."""
    binding = Binding(RAW, "0" * 32, cluster.config_map, 3600.0, cluster.lease.owner())
    manifests = [pod_manifest(spec(run_id, f"{RAW}-{i}"), cluster.options, binding) for i in range(count)]
    namespace, selector = cluster.options.namespace, f"{RUNNER}={RAW}"
    async with ApiClient(await load_configuration()) as client:
        core: Any = CoreV1Api(client)
        waiting = {manifest["metadata"]["name"] for manifest in manifests}
        listed = await core.list_namespaced_pod(namespace, label_selector=selector)

        async def watch() -> None:
            version = listed.metadata.resource_version
            while waiting:  # an API server under load ends watches that fall behind
                stream = await core.list_namespaced_pod_without_preload_content(
                    namespace, label_selector=selector, watch=True, resource_version=version
                )
                async for line in stream.content:
                    pod = json.loads(line)["object"]
                    version = pod["metadata"]["resourceVersion"]
                    if pod["status"].get("phase") == "Running":
                        waiting.discard(pod["metadata"]["name"])
                    if not waiting:
                        break
                stream.close()

        start = time.monotonic()
        watching = asyncio.create_task(watch())
        posts = (core.create_namespaced_pod_without_preload_content(namespace, manifest) for manifest in manifests)
        for response in await asyncio.gather(*posts):
            assert response.status == 201, response.status
            response.close()
        await watching
        took = time.monotonic() - start
        await core.delete_collection_namespaced_pod(namespace, label_selector=selector, grace_period_seconds=0)
    return took


async def first_answer(sandbox: PodSandbox) -> None:
    """Start it and have a command answered."""
    await sandbox.start()
    await answer(sandbox, "first")


async def answer(sandbox: PodSandbox, command_id: str) -> float:
    """Seconds that a short command took."""
    start = time.monotonic()
    result = await sandbox.exec(command_id, ["sh", "-c", "echo $((6 * 7))"], cwd="/", timeout_s=300)
    assert result.stdout == b"42\n", result
    return time.monotonic() - start


async def sandboxes(cluster: ClusterContext, run_id: str, count: int) -> float:
    """Seconds until all sandboxes answered."""
    made = [PodSandbox(spec(run_id, f"box-{i}"), cluster) for i in range(count)]
    start = time.monotonic()
    try:
        await asyncio.gather(*map(first_answer, made))
        return time.monotonic() - start
    finally:
        await asyncio.gather(*(sandbox.stop() for sandbox in made))


async def ready(args: argparse.Namespace) -> None:
    """The first part; each round has its own run, so that no pod meets a namesake."""
    ratios = []
    async with own_namespace() as namespace:
        for number in range(args.rounds):
            took = {}
            for kind in (raw, sandboxes) if number % 2 == 0 else (sandboxes, raw):
                async with session_in(options(args, namespace)) as (cluster, run_id):
                    took[kind] = await kind(cluster, run_id, args.counts[0])
                await asyncio.sleep(args.pause)  # until the node has cleared the pods away
            ratios.append(took[sandboxes] / took[raw])
            print(
                f"   round {number + 1}: raw {took[raw]:.1f} s, sandboxes {took[sandboxes]:.1f} s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"   median ratio {statistics.median(ratios):.2f}; goal <= 1.2\n   {CountedApi.told()}")


async def concurrent(args: argparse.Namespace) -> None:
    """The second part."""
    count = args.counts[0]
    async with own_namespace() as namespace, session_in(options(args, namespace)) as (cluster, run_id):
        made = [PodSandbox(spec(run_id, f"box-{i}"), cluster) for i in range(count)]
        start = time.monotonic()
        try:
            await asyncio.gather(*map(first_answer, made))
            print(f"   {count} sandboxes at once, all answered after {time.monotonic() - start:.1f} s", flush=True)
            for number in range(3):
                took = sorted(await asyncio.gather(*(answer(sandbox, f"again-{number}") for sandbox in made)))
                print(f"   a command in each at once: median {took[count // 2]:.2f} s, slowest {took[-1]:.2f} s")
            print(f"   memory {_rss():.0f} MiB, cpu {_cpu():.1f} s, {len(asyncio.all_tasks())} tasks")
        finally:
            start = time.monotonic()
            farewells = await asyncio.gather(*(sandbox.stop() for sandbox in made))
        troubled = Counter(f.platform for f in farewells if f.platform is not None)
        down = sum(f.transport_down_s or 0.0 for f in farewells)
        print(f"   removed in {time.monotonic() - start:.1f} s; platform causes: {dict(troubled) or 'none'}")
        print(f"   seconds without a stream, over all: {down:.2f}\n   {CountedApi.told()}")


def _rss() -> float:
    """MiB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def simulated(args: argparse.Namespace) -> None:
    """The third part: a fresh process for each count."""
    api = await Api.connect()
    for node in (await api.collect(nodes(), labelSelector="type=kwok"))[0]:
        if ARCH not in node["metadata"]["labels"]:  # a kubelet would set it, and pods select by it
            node["metadata"]["labels"][ARCH] = "amd64"
            await api.replace(nodes(node["metadata"]["name"]), node)
    await api.close()
    for count in args.counts:
        async with own_namespace() as namespace:
            rate = ("--rate", str(args.rate)) if args.rate is not None else ()
            await _again("driver", str(count), "--namespace", namespace, *rate)


async def _again(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, *words)
    assert await process.wait() == 0


async def driver(args: argparse.Namespace) -> None:
    """One count of the third part."""
    count = args.counts[0]
    own = replace(options(args, args.namespace), node_selector=SIMULATED, tolerations=[TAINT])
    async with session_in(own) as (cluster, run_id):
        memory, cpu, start = _rss(), _cpu(), time.monotonic()
        made = [PodContainer(spec(run_id, f"box-{i}"), cluster) for i in range(count)]
        await asyncio.gather(*(container.create() for container in made))
        took, spent = time.monotonic() - start, _cpu() - cpu
        grown = (_rss() - memory) * 1024 / count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"   {count} pods from one process: running after {took:.1f} s, {count / took:.1f} a second")
        print(f"      cpu {spent / count * 1000:.2f} ms a pod, {100 * spent / took:.0f} % of one processor")
        print(f"      memory {memory:.0f} -> {_rss():.0f} MiB (peak {peak:.0f}), {grown:.1f} KiB a pod", flush=True)
        cpu = _cpu()
        await asyncio.sleep(30)
        rest = (_cpu() - cpu) / 30 * 1000
        print(f"      at rest: cpu {rest:.1f} ms a second, {len(asyncio.all_tasks())} tasks", flush=True)
        await _again("watcher", str(count), "--namespace", args.namespace, "--of", run_id, cluster.lease.runner)
        cpu, start = _cpu(), time.monotonic()
        await asyncio.gather(*(container.remove() for container in made))
        took, spent = time.monotonic() - start, _cpu() - cpu
        print(f"      removed in {took:.1f} s, cpu {spent / count * 1000:.2f} ms a pod; {_rss():.0f} MiB after it")
        watcher = cluster.watcher
        print(f"      lists {watcher.lists}, failures {watcher.failures}, throttled {cluster.creator.throttlings}")
    print(f"      {CountedApi.told()}".replace("\n   ", "\n      "), flush=True)


async def watcher(args: argparse.Namespace) -> None:
    """A watcher alone, which lists and follows the pods that a driver has."""
    run_id, runner = args.of
    names = [pod_name(run_id, f"box-{i}") for i in range(args.counts[0])]
    api = await Api.connect()
    await api.get("/version")
    memory, cpu = _rss(), _cpu()
    follower = Watcher(api, args.namespace, f"{RUNNER}={label_value(runner)}")
    for name in names:
        follower.follow(name)
    async with follower:
        await asyncio.gather(*(follower.until(name, lambda seen: not seen.gone) for name in names))
        spent = (_cpu() - cpu) * 1000 / len(names)
        print(f"      a watcher alone: {(_rss() - memory) * 1024 / len(names):.1f} KiB and {spent:.2f} ms of cpu a pod")
    await api.close()


async def rest(args: argparse.Namespace) -> None:
    """The fourth part."""
    async with own_namespace() as namespace, session_in(options(args, namespace)) as (cluster, run_id):
        sandbox = PodSandbox(spec(run_id, "box"), cluster)
        try:
            await first_answer(sandbox)
            await asyncio.sleep(args.seconds + 5)
            kept = await sandbox.container.connect_keeper()
            assert kept is not None
            text = b""
            while piece := await kept.receive():
                text += piece
            await kept.close()
            rows = parse_rows(text.decode())[-args.seconds - 1 : -1]
            took = rows[-1].boottime - rows[0].boottime
            cpu = ((rows[-1].cpu_usec or 0) - (rows[0].cpu_usec or 0)) / took
            kib = {key: (getattr(rows[-1], key) or 0) / 1024 for key in ("memory", "unreclaimable", "anon")}
            told = ", ".join(f"{key} {value:.0f} KiB" for key, value in kib.items())
            print(f"   task: cpu {cpu / 1000:.3f} ms/s over {took:.0f} s; {told}; {rows[-1].pids} processes")
            print(f"   the keeper has {len(text)} bytes of samples")
            status = (await sandbox.exec("status", ["cat", "/proc/1/status"], cwd="/")).stdout.decode()
            lines = (" ".join(line.split()) for line in status.splitlines() if "Rss" in line or "VmHWM" in line)
            print(f"   process 1 of the task: {', '.join(lines)}")
        finally:
            await sandbox.stop()


def options(args: argparse.Namespace, namespace: str) -> KubernetesOptions:
    """The provider's defaults but for what the arguments say."""
    plain = KubernetesOptions(owner="bench", namespace=namespace, image=args.image)
    if args.rate is None:
        return plain
    return replace(plain, create_rate=args.rate, max_pending=10_000)


PARTS = {f.__name__: f for f in (ready, concurrent, simulated, rest, driver, watcher)}
TITLES = {
    "ready": ("{} sandboxes to the first answer, beside a raw loop", [100]),
    "concurrent": ("{} sandboxes at once", [300]),
    "simulated": ("pods on simulated nodes: {}", [500, 1000, 2500, 5000]),
    "rest": ("the supervisors of a sandbox at rest", []),
}


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("counts", type=int, nargs="*")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pause", type=float, default=45.0)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=float, help="pods a second, without a cap on pending ones")
    parser.add_argument("--image", default=os.environ.get("RAYSWEEP_TEST_IMAGE", "localhost/task:dev"))
    parser.add_argument("--namespace", help=argparse.SUPPRESS)
    parser.add_argument("--of", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.part in TITLES:
        title, counts = TITLES[args.part]
        args.counts = args.counts or counts
        load = os.getloadavg()[0]
        print(f"# benchmarks/pods.py {' '.join(words)}; {os.cpu_count()} cpus, load of the machine before: {load:.1f}")
        print(f"{[*TITLES].index(args.part) + 1}. {title.format(', '.join(map(str, args.counts)))}", flush=True)
    asyncio.run(PARTS[args.part](args))


if __name__ == "__main__":
    main(sys.argv[1:])
