"""Whole sweeps while parts of the cluster, or the driver, die: every trial once, each as in an undisturbed sweep.

The trials are short, so most faults meet pods that start; commands in flight are commands_under_faults.py's matter.
Eight minutes, beyond what CI's bound leaves; by hand, with $KUBECONFIG and $RAYSWEEP_DEVCLUSTER:

    pytest tests/sandbox/kubernetes/sweeps_under_faults.py
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from raysweep.errors import RaysweepError
from raysweep.record.reader import read_ledger
from raysweep.sandbox.kubernetes.api import Api, ApiError, pods

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 900.0
PLANNED = 24
SWEEP = """
name: parts
seed: 17
tasks: {{source: bundled:headroom, include: [sort-lines, edit-settings, count-distinct]}}
models:
  - {{name: lean, agent: scripted, strategy: lean}}
  - {{name: heavy, agent: scripted, strategy: heavy}}
bands:
  - {{name: 1x, request: {{cpu: 0.1}}, limit: 1.0}}
  - {{name: uncapped, request: {{cpu: 0.1}}, limit: none}}
reference: 1x
repeats: 2
sandbox: {{kind: kubernetes, namespace: {namespace}, image: "{image}", allow_unreachable_limits: true}}
runner: {{concurrency: 3}}
probes: {{enabled: false}}
platform_retries: {{node_lost: 20, api_server: 20, drained: 20, scheduling: 20, runner_lost: 20, image: 20}}
"""


class Sweep:
    """One sweep of these tests and its driver, a process group of its own."""

    def __init__(self, folder, cluster):
        self.config, self.run = folder / "sweep.yaml", folder / "run"
        self.config.write_text(SWEEP.format(namespace=cluster.namespace, image=cluster.image))
        self.log = folder / "log"
        self.driver = None

    def begin(self):
        with self.log.open("ab") as log:
            argv = [RAYSWEEP, "run", str(self.config), "--run-dir", str(self.run)]
            self.driver = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)

    def rows(self):
        try:
            return read_ledger(self.run).table.to_pylist()
        except (RaysweepError, FileNotFoundError):
            return []

    async def sealed(self, count):
        until = time.monotonic() + PATIENCE_S
        while len(self.rows()) < count:
            assert self.driver.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, f"{count} rows were not sealed in time"
            await asyncio.sleep(0.2)

    async def end(self):
        until = time.monotonic() + PATIENCE_S
        while self.driver.poll() is None:
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            await asyncio.sleep(0.2)
        assert self.driver.returncode == 0, self.log.read_text()[-3000:]

    def kill(self):
        if self.driver is not None and self.driver.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()


@pytest.fixture
def sweep(tmp_path, cluster):
    sweep = Sweep(tmp_path, cluster)
    yield sweep
    sweep.kill()


@pytest.fixture
def parts(cluster_namespace):
    """A callable that stops or starts a part of the test cluster; at the end every part runs and the node is Ready."""
    script = os.environ.get("RAYSWEEP_DEVCLUSTER")
    if not script:
        pytest.skip("RAYSWEEP_DEVCLUSTER does not name a script that stops and starts parts of the cluster")

    def change(*words):
        subprocess.run([script, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    yield change
    for part in ("containerd", "apiserver", "controller-manager", "scheduler", "kubelet"):
        change("start", part)
    asyncio.run(ready(cluster_namespace.admin))


async def ready(kubeconfig):
    """Wait until every node of the cluster is Ready."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(ApiError, OSError):
            if all(map(node_ready, await nodes_of(kubeconfig))):
                return
        assert time.monotonic() < until, "the node did not come back"
        await asyncio.sleep(0.5)


async def nodes_of(kubeconfig):
    before = os.environ["KUBECONFIG"]
    os.environ["KUBECONFIG"] = kubeconfig
    try:
        api = await Api.connect()
    finally:
        os.environ["KUBECONFIG"] = before
    try:
        found, _ = await api.collect("/api/v1/nodes")
    finally:
        await api.close()
    return found


def node_ready(node):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


@pytest.fixture(scope="module")
def undisturbed(cluster_namespace, tmp_path_factory):
    """Final outcome of every trial where nothing went wrong."""
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"), cluster_namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", cluster_namespace.restricted)
        sweep.begin()
        try:
            asyncio.run(sweep.end())
        finally:
            sweep.kill()
    rows = sweep.rows()
    assert not [r for r in rows if r["cause_class"] == "platform"]
    assert {(r["model"], r["band"]) for r in rows if r["outcome"] == "infra"} == {("heavy", "1x")}
    return finals(rows)


def finals(rows):
    return {r["trial_id"]: (r["outcome"], r["cause"], r["reward"]) for r in rows if r["is_final"]}


def finished(row):
    return row["cause_class"] != "platform" and row["outcome"] != "cancelled"


async def expect_whole(sweep, undisturbed, admin, cluster):
    """No trial lost, none finished twice, each as without the fault, nothing left in the cluster."""
    rows = sweep.rows()
    assert finals(rows) == undisturbed
    assert len(undisturbed) == PLANNED
    assert Counter(r["trial_id"] for r in rows if r["is_final"]).most_common(1)[0][1] == 1
    assert Counter(r["trial_id"] for r in rows if finished(r)).most_common(1)[0][1] == 1
    run_id = json.loads((sweep.run / "run.json").read_text())["run_id"].removeprefix("run-")
    until = time.monotonic() + PATIENCE_S
    while True:
        left, _ = await admin.collect(pods(cluster.namespace))
        names = [pod["metadata"]["name"] for pod in left if run_id in pod["metadata"]["name"]]
        if not names:
            return rows
        assert time.monotonic() < until, names
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    ("stop", "part", "seconds"),
    [
        (("stop", "kubelet"), "kubelet", 60.0),
        (("stop", "apiserver", "KILL"), "apiserver", 10.0),
        (("stop", "containerd"), "containerd", 5.0),
    ],
    ids=["kubelet", "apiserver", "containerd"],
)
async def test_a_part_of_the_cluster_goes_and_comes_back(
    undisturbed, sweep, parts, admin, cluster, stop, part, seconds
):
    sweep.begin()
    await sweep.sealed(3)
    parts(*stop)
    try:
        await asyncio.sleep(seconds)
    finally:
        parts("start", part)
    await sweep.end()
    await ready(cluster.admin)
    rows = await expect_whole(sweep, undisturbed, admin, cluster)
    assert not [r for r in rows if r["cause"] == "deadline"]


async def test_a_node_is_cordoned_and_drained(undisturbed, sweep, admin, cluster):
    node = "/api/v1/nodes/" + (await nodes_of(cluster.admin))[0]["metadata"]["name"]
    sweep.begin()
    await sweep.sealed(3)
    await cordon(admin, node, unschedulable=True)
    try:
        evicted = 0
        until = time.monotonic() + PATIENCE_S
        while not evicted:
            assert time.monotonic() < until, "no pod could be evicted"
            found, _ = await admin.collect(pods(cluster.namespace))
            for pod in found:
                if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
                    evicted += await evict(admin, cluster, pod["metadata"]["name"])
            await asyncio.sleep(0.2)
    finally:
        await cordon(admin, node, unschedulable=False)
    await sweep.end()
    rows = await expect_whole(sweep, undisturbed, admin, cluster)
    lost = [r for r in rows if r["cause_class"] == "platform"]
    assert {r["cause"] for r in lost} == {"drained"}
    assert len(lost) <= evicted


async def evict(admin, cluster, name):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": cluster.namespace}}
    try:
        await admin.create(f"{pods(cluster.namespace, name)}/eviction", body)
    except ApiError as error:
        if error.status != 404:
            raise
        return 0
    return 1


async def cordon(admin, node, *, unschedulable):
    until = time.monotonic() + PATIENCE_S
    while True:
        found = await admin.get(node)
        found["spec"]["unschedulable"] = unschedulable
        try:
            await admin.replace(node, found)
        except ApiError as error:
            if error.status != 409 or time.monotonic() > until:  # the kubelet writes there, too
                raise
        else:
            return


async def test_the_driver_is_killed_and_the_same_command_goes_on(undisturbed, sweep, admin, cluster):
    for count in (3, 9):
        sweep.begin()
        await sweep.sealed(count)
        sweep.kill()
    assert len(finals(sweep.rows())) < PLANNED
    sweep.begin()
    await sweep.end()
    rows = await expect_whole(sweep, undisturbed, admin, cluster)
    assert not [r for r in rows if r["outcome"] == "cancelled"]
