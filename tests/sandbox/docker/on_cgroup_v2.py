"""Run in the guest by test_docker_v2.py: one sandbox on cgroup v2, and what it tells, as JSON on the last line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

from raysweep.sandbox.docker.container import container_name
from raysweep.sandbox.docker.provider import DockerProvider
from raysweep.sandbox.docker.scratch import load_scratch
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources

SUPERVISOR = "/.raysweep/supervisor"


async def main() -> None:
    provider = DockerProvider()
    await provider.prepare("v2")
    async with provider.engine() as engine:
        image = await load_scratch(engine, "x86_64")
        limit = Resources(cpu=1000, memory=64 * MIB)
        spec = SandboxSpec("v2", "one", Resources(cpu=100, memory=32 * MIB), limit, image=image, workdir="/")
        sandbox = provider.open(spec)
        try:
            admitted = await sandbox.start()
            await sandbox.begin_phase("agent")
            hog = await sandbox.exec("hog", [SUPERVISOR, "alloc", str(100 * MIB)])
            state = (await engine.inspect(container_name(spec)))["State"]
            after = await sandbox.exec("after", [SUPERVISOR, "true"])
        finally:
            final_facts = await sandbox.stop()
        left = await engine.docker.containers.list(all=True)
    told = {
        "capabilities": asdict(provider.capabilities()),
        "limit": asdict(admitted.limit),
        "limit_at_end": asdict(final_facts.actual_limit),
        "hog": asdict(hog.facts),
        "after": asdict(after.facts),
        "oom_killed": state["OOMKilled"],
        "agent": asdict(final_facts.counters["agent"]),
        "platform": final_facts.platform,
        "left": len(left),
    }
    print(json.dumps(told))


asyncio.run(main())
