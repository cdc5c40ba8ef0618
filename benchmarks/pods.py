"""Pods in numbers: sandboxes to ready beside a raw loop, and what a driver's watcher costs per pod.

    python benchmarks/pods.py ready 100 [--rounds 3] [--namespace NS] [--image IMAGE]
    python benchmarks/pods.py watch 500 [--namespace NS]     # on nodes of kwok: label type=kwok, kubernetes.io/arch

ready: N sandboxes at once until their supervisors answered (their start), beside N pods of the same manifest that are
created and watched until they run and nothing else; interleaved, the median ratio counts. Goal: at most 1.2.
watch: N pods at once from one process on simulated nodes until all run, then 20 s at rest: cpu and memory of the
process, tasks of its event loop, lists, failures. Goal: flat per pod.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import statistics
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

from raysweep.sandbox.kubernetes.api import pods
from raysweep.sandbox.kubernetes.container import Ground, PodContainer
from raysweep.sandbox.kubernetes.fate import running
from raysweep.sandbox.kubernetes.gc import remove_run
from raysweep.sandbox.kubernetes.pod import Binding, pod_manifest
from raysweep.sandbox.kubernetes.provider import KubernetesOptions
from raysweep.sandbox.kubernetes.sandbox import PodSandbox
from raysweep.sandbox.kubernetes.session import Stay
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources

SMALL = Resources(cpu=2, memory=16 * MIB)
ROOMY = Resources(cpu=1000, memory=64 * MIB)
RATE, PENDING = 200.0, 10_000
"""Beyond what any cluster does: the clusters' own speed is compared, not our politeness."""


def spec(run_id: str, name: str) -> SandboxSpec:
    """A sandbox that asks for next to nothing."""
    return SandboxSpec(run_id, name, SMALL, ROOMY)


def options(args: argparse.Namespace) -> KubernetesOptions:
    """Options of a provider without a bound on its speed."""
    plain = KubernetesOptions(
        owner="bench", namespace=args.namespace, image=args.image, create_rate=RATE, max_pending=PENDING
    )
    if args.what == "ready":
        return plain
    taint = {"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}
    return replace(plain, node_selector={"type": "kwok"}, tolerations=[taint])


async def raw(ground: Ground, run_id: str, count: int) -> float:
    """Seconds from the first creation until all pods of the sandboxes' manifest run."""
    binding = Binding(ground.lease.runner, "0" * 32, ground.config_map, 3600.0, ground.lease.owner())
    manifests = [pod_manifest(spec(run_id, f"raw-{i}"), ground.options, binding) for i in range(count)]
    names = [manifest["metadata"]["name"] for manifest in manifests]
    for name in names:
        ground.watcher.follow(name)
    start = time.monotonic()
    path = pods(ground.options.namespace)
    await asyncio.gather(*(ground.api.create(path, manifest) for manifest in manifests))
    await asyncio.gather(*(ground.watcher.until(name, lambda seen: running(seen.pod)) for name in names))
    took = time.monotonic() - start
    await asyncio.gather(*(ground.api.delete(pods(ground.options.namespace, name)) for name in names))
    for name in names:
        ground.watcher.forget(name)
    return took


async def sandboxes(ground: Ground, run_id: str, count: int) -> float:
    """Seconds until all sandboxes answered."""
    made = [PodSandbox(spec(run_id, f"box-{i}"), ground) for i in range(count)]
    start = time.monotonic()
    try:
        await asyncio.gather(*(sandbox.start() for sandbox in made))
        return time.monotonic() - start
    finally:
        await asyncio.gather(*(sandbox.stop() for sandbox in made))


async def ready(ground: Ground, run_id: str, args: argparse.Namespace) -> None:
    """The first part."""
    ratios = []
    for number in range(args.rounds):
        first = await raw(ground, run_id, args.count)
        await asyncio.sleep(args.pause)  # until the node has cleared the pods away
        second = await sandboxes(ground, run_id, args.count)
        await asyncio.sleep(args.pause)
        ratios.append(second / first)
        print(f"round {number + 1}: raw {first:.1f} s, sandboxes {second:.1f} s, ratio {ratios[-1]:.2f}")
    print(f"{args.count} sandboxes to ready: median ratio {statistics.median(ratios):.2f}; goal <= 1.2")


def _rss() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def watch(ground: Ground, run_id: str, args: argparse.Namespace) -> None:
    """The second part."""
    gc.collect()
    memory, cpu, start = _rss(), _cpu(), time.monotonic()
    made = [PodContainer(spec(run_id, f"box-{i}"), ground) for i in range(args.count)]
    await asyncio.gather(*(container.create() for container in made))
    took, spent = time.monotonic() - start, _cpu() - cpu
    gc.collect()
    grown = (_rss() - memory) * 1024 / args.count
    print(f"{args.count} pods created and running in {took:.1f} s, {spent / args.count * 1000:.1f} ms of cpu a pod")
    print(f"memory {memory:.0f} -> {_rss():.0f} MiB, {grown:.0f} KiB a pod; {len(asyncio.all_tasks())} tasks")
    print(f"lists {ground.watcher.lists}, failures {ground.watcher.failures}, throttled {ground.creator.throttlings}")
    cpu = _cpu()
    await asyncio.sleep(20)
    print(f"at rest: {(_cpu() - cpu) / 20 * 1000:.1f} ms of cpu a second")
    start = time.monotonic()
    await asyncio.gather(*(container.remove() for container in made))
    print(f"removed in {time.monotonic() - start:.1f} s")


async def run(args: argparse.Namespace) -> None:
    """One part on its own stay in the cluster, nothing left of it."""
    run_id = f"bench-{uuid.uuid4().hex[:8]}"
    stay = await Stay.begin(options(args).stay(), run_id)
    try:
        await (ready if args.what == "ready" else watch)(stay.ground, run_id, args)
    finally:
        await remove_run(stay.ground.api, args.namespace, run_id)
        await stay.end()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["ready", "watch"])
    parser.add_argument("count", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=10.0)
    parser.add_argument("--namespace", default="raysweep-sandboxes")
    parser.add_argument("--image", default="localhost/task:dev")
    print(f"# {' '.join(sys.argv)}")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
