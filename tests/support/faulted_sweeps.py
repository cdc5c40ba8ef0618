"""For tests that break a real cluster under a whole sweep: stops its parts, runs the driver, looks for what is left."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from raysweep.apiserver import ApiError, config_maps, leases, pods
from raysweep.errors import RaysweepError
from raysweep.record.reader import read_ledger
from raysweep.sandbox.kubernetes.exec import open_exec
from raysweep.sandbox.kubernetes.pod import RUN, TASK
from raysweep.sandbox.kubernetes.pod_end import node_ready

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 600.0
NODES = "/api/v1/nodes"

TASK_TOML = "[agent]\ntimeout_sec = 1200\n[environment]\ncpus = 1\nmemory_mb = 64\n"
SOLUTIONS = {
    "keep": "echo began >> /app/began; {work}; echo done >> /app/done",
    "grow": "echo began >> /app/began; {work}; "
    "python3 -c 'x = bytearray(b\"x\") * (200 << 20)' && echo done >> /app/done",
}
VERIFIER = """#!/bin/sh
mkdir -p /logs/verifier
[ "$(cat /app/began /app/done)" = "$(printf 'began\\ndone')" ] && echo 1 > /logs/verifier/reward.txt \
  || echo 0 > /logs/verifier/reward.txt
"""
SWEEP = """
name: faults
seed: 5
tasks: {{source: tasks}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: {{cpu: 0.1}}, limit: 1.0}}
  - {{name: uncapped, request: {{cpu: 0.1}}, limit: none}}
reference: 1x
repeats: {repeats}
sandbox: {{kind: kubernetes, namespace: {namespace}, image: "{image}", allow_unreachable_limits: true}}
runner: {{concurrency: {concurrency}}}
probes: {{enabled: false}}
"""
UNDISTURBED = {
    ("keep", "1x"): ("scored", None, 1.0),
    ("keep", "uncapped"): ("scored", None, 1.0),
    ("grow", "1x"): ("infra", "oom_limit", None),
    ("grow", "uncapped"): ("scored", None, 1.0),
}


class Parts:
    """What the test cluster is made of, by a script with the verbs `stop PART [SIGNAL]` and `start PART`."""

    NAMES = ("containerd", "apiserver", "controller-manager", "scheduler", "kubelet")

    def __init__(self, script, admin):
        self.script, self.admin = script, admin

    async def _say(self, *words):
        quiet = subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(self.script, *words, stdin=quiet, stdout=quiet, stderr=quiet)
        assert await process.wait() == 0, words

    async def out(self, part, seconds, sent="TERM"):
        """Stop a part, and start it again after so many seconds."""
        await self._say("stop", part, sent)
        await asyncio.sleep(seconds)
        await self._say("start", part)

    async def whole(self):
        """Start what does not run, and wait until the API server answers and every node takes pods."""
        for part in self.NAMES:
            await self._say("start", part)
        async with asyncio.timeout(PATIENCE_S):
            while not await self._ready():  # noqa: ASYNC110 - the time-out bounds it
                await asyncio.sleep(0.5)

    async def _ready(self):
        with suppress(ApiError, ConnectionError):
            found, _ = await self.admin.collect(NODES)
            return all(node_ready(node) and not node["spec"].get("taints") for node in found)
        return False


async def cordoned(admin, node, *, unschedulable):
    """Cordon a node, or undo it; the kubelet writes there, too."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await admin.get(f"{NODES}/{node}")
            found["spec"]["unschedulable"] = unschedulable
            try:
                await admin.replace(f"{NODES}/{node}", found)
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                return


async def evict(admin, namespace, pod):
    """As `kubectl drain` does it."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    await admin.create(f"{pods(namespace, pod)}/eviction", body)


async def inside(admin, namespace, pod, script):
    """Whether a shell script ended with 0 in a pod's task container, past any proxy; False where it is out of reach."""
    with suppress(ApiError, ConnectionError):
        channel = await open_exec(admin, namespace, pod, TASK, ["sh", "-c", script], lambda: None)
        try:
            while await channel.receive():
                pass
            return True
        finally:
            await channel.close()
    return False


class Sweep:
    """One sweep of the real command line, whose driver is a process group of its own.

    Two tasks of 64 MiB in two bands, of which one cannot be done in the smaller; the verifier tells an agent that began
    twice. work: what the agents' shell does before the task.
    """

    def __init__(self, folder, cluster, admin, *, work, repeats, concurrency):
        self.cluster, self.admin, self.repeats = cluster, admin, repeats
        self.config, self.run, self.log = folder / "sweep.yaml", folder / "run", folder / "log"
        values = {"namespace": cluster.namespace, "image": cluster.image, "repeats": repeats}
        self.config.write_text(SWEEP.format(concurrency=concurrency, **values))
        for name, solve in SOLUTIONS.items():
            files = {
                "task.toml": TASK_TOML,
                "instruction.md": "Do it.\n",
                "environment/setup.sh": "#!/bin/sh\ntrue\n",
                "solution/solve.sh": f"#!/bin/sh\n{solve.format(work=work)}\n",
                "tests/test.sh": VERIFIER,
            }
            for path, text in files.items():
                place = folder / "tasks" / name / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
        self.driver = None

    async def begin(self):
        argv = [RAYSWEEP, "run", self.config, "--run-dir", self.run]
        with self.log.open("ab") as log:
            self.driver = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, start_new_session=True)

    async def kill(self):
        """SIGKILL for the driver and all that it started."""
        if self.driver is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.driver.pid, signal.SIGKILL)
            await self.driver.wait()

    async def end(self):
        """The rows of a sweep that its driver ended as complete."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self.driver.wait() == 0, self.told()
        return self.rows()

    def told(self):
        return self.log.read_text()[-3000:]

    def rows(self):
        try:
            return read_ledger(self.run).table.to_pylist()
        except (RaysweepError, FileNotFoundError):
            return []

    async def until(self, condition):
        """Wait for a condition while the driver lives; its value."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while not (found := await condition()):
            assert self.driver.returncode is None, self.told()
            assert asyncio.get_running_loop().time() < end, self.told()
            await asyncio.sleep(0.2)
        return found

    async def sealed(self, count):
        """Wait for so many rows."""

        async def enough():
            return len(self.rows()) >= count

        await self.until(enough)

    async def things(self, path):
        """What the run has in its namespace: those of its label that nobody is deleting."""
        try:
            run_id = json.loads((self.run / "run.json").read_text())["run_id"]
        except (FileNotFoundError, json.JSONDecodeError):
            return []
        found, _ = await self.admin.collect(path(self.cluster.namespace), labelSelector=f"{RUN}={run_id}")
        return [thing for thing in found if "deletionTimestamp" not in thing["metadata"]]

    async def expect_undisturbed(self, rows):
        """Each trial finished once and as without a fault, and no pod, Lease or ConfigMap of the run is left."""
        last = {
            (r["task"], r["band"], r["repeat"]): (r["outcome"], r["cause"], r["reward"]) for r in rows if r["is_final"]
        }
        assert last == {(*arm, k): told for arm, told in UNDISTURBED.items() for k in range(1, self.repeats + 1)}
        finished = [r["trial_id"] for r in rows if r["cause_class"] != "platform" and r["outcome"] != "cancelled"]
        assert sorted(finished) == sorted({r["trial_id"] for r in rows})
        left = [thing["metadata"]["name"] for path in (pods, leases, config_maps) for thing in await self.things(path)]
        assert left == []


class Held(Sweep):
    """Four trials at once whose agents work until they are told to go on."""

    TRIALS = 4

    def __init__(self, folder, cluster, admin):
        work = "until [ -e /app/go ]; do sleep 0.1; done"
        super().__init__(folder, cluster, admin, work=work, repeats=1, concurrency=self.TRIALS)

    async def at_work(self, count=TRIALS, but=()):
        """The pods whose agents work, names by uid, once there are so many beside those of `but`."""

        async def there():
            found = [pod["metadata"] for pod in await self.things(pods) if pod["status"]["phase"] == "Running"]
            fresh = {told["uid"]: told["name"] for told in found if told["uid"] not in but}
            # what a runner looks into before its first trial runs in a pod, too
            begun = {uid: name for uid, name in fresh.items() if await self.inside(name, "test -e /app/began")}
            return begun if len(begun) >= count else None

        return await self.until(there)

    async def inside(self, name, script):
        return await inside(self.admin, self.cluster.namespace, name, script)

    async def go(self, names):
        """Let the agents of these pods go on."""
        for name in names:
            await self.until(partial(self.inside, name, "touch /app/go"))

    async def expect_unharmed(self, rows):
        """Each trial in its first attempt, although its stream was cut, and nothing left in the cluster."""
        assert [r["attempt"] for r in rows] == [1] * self.TRIALS, [(r["cause"], r["detail"]) for r in rows]
        assert all(r["transport_down_s"] > 0 for r in rows), "every trial was hit"
        await self.expect_undisturbed(rows)
