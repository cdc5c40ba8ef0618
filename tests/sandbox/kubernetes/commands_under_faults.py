"""Whole sweeps that lose their cluster while every agent is at work: nothing runs twice, kills keep their cause."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from kubernetes_proxy import Proxy, target_of, through

from raysweep.record.reader import read_ledger
from raysweep.sandbox.kubernetes.api import ApiError, config_maps, leases, pods
from raysweep.sandbox.kubernetes.exec import open_exec
from raysweep.sandbox.kubernetes.fate import node_ready
from raysweep.sandbox.kubernetes.pod import RUN, TASK

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 900.0
PARTS = ("containerd", "apiserver", "kubelet")
FAULTS = ((("stop", "kubelet"), 60.0), (("stop", "apiserver", "KILL"), 10.0), (("stop", "containerd"), 5.0))
TRIALS = 4
HELD = "echo began >> /app/began; until [ -e /app/go ]; do sleep 0.1; done; "
SOLUTIONS = {
    "keep": HELD + "echo done >> /app/done",
    "grow": HELD + "python3 -c 'x = bytearray(b\"x\") * (200 << 20)' && echo done >> /app/done",
}
VERIFIER = """#!/bin/sh
mkdir -p /logs/verifier
[ "$(cat /app/began /app/done)" = "$(printf 'began\\ndone')" ] && echo 1 > /logs/verifier/reward.txt \
  || echo 0 > /logs/verifier/reward.txt
"""
SWEEP = """
name: cut
seed: 5
tasks: {{source: tasks}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: {{cpu: 0.1}}, limit: 1.0}}
  - {{name: uncapped, request: {{cpu: 0.1}}, limit: none}}
reference: 1x
repeats: 1
sandbox: {{kind: kubernetes, namespace: {namespace}, image: "{image}", allow_unreachable_limits: true}}
runner: {{concurrency: 4}}
probes: {{enabled: false}}
"""


def written(folder, cluster):
    """The sweep's file: tasks of 64 MiB whose agent works until it is told to go on."""
    for name, solve in SOLUTIONS.items():
        files = {
            "task.toml": "[agent]\ntimeout_sec = 1200\n[environment]\ncpus = 1\nmemory_mb = 64\n",
            "instruction.md": "Do it.\n",
            "environment/setup.sh": "#!/bin/sh\ntrue\n",
            "solution/solve.sh": f"#!/bin/sh\n{solve}\n",
            "tests/test.sh": VERIFIER,
        }
        for path, text in files.items():
            place = folder / "tasks" / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    config = folder / "sweep.yaml"
    config.write_text(SWEEP.format(namespace=cluster.namespace, image=cluster.image))
    return config


@pytest.fixture
async def parts(admin):
    """A callable that stops or starts a part of the test cluster; at the end all run, and the nodes are Ready."""
    script = os.environ.get("RAYSWEEP_DEVCLUSTER")
    if not script:
        pytest.skip("RAYSWEEP_DEVCLUSTER does not name a script that stops and starts parts of the cluster")

    async def change(*words):
        quiet = subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(script, *words, stdin=quiet, stdout=quiet, stderr=quiet)
        assert await process.wait() == 0, words

    yield change
    for part in PARTS:
        await change("start", part)
    async with asyncio.timeout(PATIENCE_S):
        await all_ready(admin)


async def all_ready(admin):
    while True:
        with suppress(ApiError):
            nodes, _ = await admin.collect("/api/v1/nodes")
            if all(map(node_ready, nodes)):
                return
        await asyncio.sleep(0.5)


async def inside(admin, cluster, pod, script):
    """Run a shell script in a pod's task container, past the proxy, again where the way there breaks."""
    while True:
        with suppress(ApiError, ConnectionError):
            channel = await open_exec(admin, cluster.namespace, pod, TASK, ["sh", "-c", script], lambda: None)
            try:
                while await channel.receive():
                    pass
                return
            finally:
                await channel.close()
        await asyncio.sleep(0.5)


def selector(run):
    return f"{RUN}={json.loads((run / 'run.json').read_text())['run_id']}"


@asynccontextmanager
async def at_work(folder, cluster, admin):
    """A sweep of which every agent works: `go` lets the agents go on, `end` waits for the driver and returns rows."""
    run, log = folder / "run", folder / "log"
    argv = [RAYSWEEP, "run", written(folder, cluster), "--run-dir", run]
    with log.open("wb") as out:
        driver = await asyncio.create_subprocess_exec(*argv, stdout=out, stderr=out, start_new_session=True)
    try:
        async with asyncio.timeout(PATIENCE_S):
            names = []
            while len(names) < TRIALS:
                assert driver.returncode is None, log.read_text()[-3000:]
                await asyncio.sleep(0.2)
                with suppress(FileNotFoundError, json.JSONDecodeError):
                    found, _ = await admin.collect(pods(cluster.namespace), labelSelector=selector(run))
                    names = [p["metadata"]["name"] for p in found if p["status"]["phase"] == "Running"]
            for name in names:
                await inside(admin, cluster, name, "until [ -e /app/began ]; do sleep 0.1; done")

            async def go():
                for name in names:
                    await inside(admin, cluster, name, "touch /app/go")

            async def end():
                assert await driver.wait() == 0, log.read_text()[-3000:]
                return read_ledger(run).table.to_pylist()

            yield go, end
    finally:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        await driver.wait()


async def expect_unharmed(rows, admin, cluster):
    """Each trial in its first attempt, although its stream was cut, and nothing left in the cluster."""
    assert [r["attempt"] for r in rows] == [1] * TRIALS, [(r["cause"], r["detail"]) for r in rows]
    assert all(r["is_final"] for r in rows)
    assert {(r["task"], r["band"]): (r["outcome"], r["cause"], r["reward"]) for r in rows} == {
        ("keep", "1x"): ("scored", None, 1.0),
        ("keep", "uncapped"): ("scored", None, 1.0),
        ("grow", "1x"): ("infra", "oom_limit", None),
        ("grow", "uncapped"): ("scored", None, 1.0),
    }
    assert all(r["transport_down_s"] > 0 for r in rows), "every trial was hit"
    for path in (pods, leases, config_maps):
        left, _ = await admin.collect(path(cluster.namespace), labelSelector=f"{RUN}={rows[0]['run_id']}")
        assert [thing["metadata"]["name"] for thing in left if "deletionTimestamp" not in thing["metadata"]] == []


async def test_streams_are_cut_while_every_agent_is_at_work(tmp_path, cluster, admin, monkeypatch):
    async with Proxy(target_of(cluster.restricted)) as proxy:
        monkeypatch.setenv("KUBECONFIG", through(cluster.restricted, proxy, tmp_path))
        async with at_work(tmp_path, cluster, admin) as (go, end):
            for _ in range(2):
                before = proxy.served
                proxy.cut()
                while proxy.served < before + TRIALS:  # noqa: ASYNC110 - the proxy tells nobody
                    await asyncio.sleep(0.05)
            proxy.away = True
            proxy.cut()
            await go()  # the agents go on while nobody can reach them
            await asyncio.sleep(3.0)
            proxy.away = False
            rows = await end()
    await expect_unharmed(rows, admin, cluster)


async def test_parts_of_the_cluster_go_and_come_back_while_every_agent_is_at_work(tmp_path, parts, cluster, admin):
    async with at_work(tmp_path, cluster, admin) as (go, end):
        for words, seconds in FAULTS:
            await parts(*words)
            await asyncio.sleep(seconds)
            await parts("start", words[1])
            await all_ready(admin)
        await go()
        rows = await end()
    await expect_unharmed(rows, admin, cluster)
