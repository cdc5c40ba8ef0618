"""One Ray cluster of the rendered templates, for real: a sweep, its head killed, resumed; what sandboxes see."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from raysweep.record.place import run_path
from raysweep.record.reader import read_ledger
from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import MIB, Resources
from support import kuberay_stand_in
from support.deployed import kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 900.0
"""The image may still be under way when the tests begin."""
CANARY = "sk-canary-of-the-model-key"
TRIALS = 48


def raysweep(*words):
    return subprocess.run([RAYSWEEP, *map(str, words)], capture_output=True, text=True, check=False)


def watched(job, sweep, look):
    """What `look` gives once it is more than None, while what is lost of the job's cluster is made again."""
    end = time.monotonic() + PATIENCE_S
    while (found := look()) is None:
        assert time.monotonic() < end, output(sweep)
        kuberay_stand_in.mend(job)
        time.sleep(1)
    return found


@pytest.fixture(scope="module")
def sweep(place, images, bucket, tmp_path_factory):
    """File of a small headroom sweep as a RayJob of one runner: deaths at 1x, none uncapped."""
    own, sandbox = images
    kubectl("create", "secret", "generic", "models", "-n", place.control, f"--from-literal=MODEL_KEY={CANARY}")
    told = {
        "name": "live",
        "seed": 7,
        "tasks": {"source": "bundled:headroom", "include": ["sort-lines", "join-tables", "count-distinct"]},
        "models": [{"name": m, "agent": "scripted", "strategy": m} for m in ("lean", "heavy")],
        "bands": [
            {"name": "1x", "request": {"cpu": 0.1}, "limit": 1.0},
            {"name": "uncapped", "request": {"cpu": 0.1}, "limit": "none"},
        ],
        "reference": "1x",
        "repeats": 4,
        "sandbox": {
            "kind": "kubernetes",
            "namespace": place.sandboxes,
            "image": sandbox,
            "images": "tags",
            "pull": "never",
            "priority_class": "raysweep-sandboxes",
        },
        "runner": {"concurrency": 2, "actors": 1},
        "probes": {"enabled": False},
        "analysis": {"primary": "success"},
        "cluster": {
            "image": own,
            "pull": "never",
            "namespace": place.control,
            "run_dir": f"{bucket}/live",
            "bucket_secrets": ["bucket"],
            "keys": ["models"],
            "head": {"cpu": "500m", "memory": "2Gi", "shm": "256Mi"},
            "runners": {"cpu": "500m", "memory": "1536Mi", "shm": "256Mi"},
        },
    }
    file = tmp_path_factory.mktemp("live") / "sweep.yaml"
    file.write_text(yaml.safe_dump(told))
    return file


def submitted(sweep, place):
    """The RayJob that `raysweep cluster submit` made, which was not there before."""
    before = {job["metadata"]["name"] for job in jobs(place)}
    done = raysweep("cluster", "submit", sweep)
    assert done.returncode == 0, done.stderr
    (job,) = [job for job in jobs(place) if job["metadata"]["name"] not in before]
    return job


def jobs(place):
    return json.loads(kubectl("get", "rayjobs", "-n", place.control, "-o", "json"))["items"]


def output(sweep):
    done = raysweep("cluster", "logs", sweep)
    return done.stdout + done.stderr


def done_trials(sweep):
    told = raysweep("cluster", "status", sweep, "--json")
    return json.loads(told.stdout)["done"] if told.returncode == 0 else 0


def some_done(job, sweep):
    """How many trials are done, once three are; AssertionError when the driver ended before."""
    done = done_trials(sweep)
    assert done >= 3 or kuberay_stand_in.submitter_code(job) is None, output(sweep)
    return done if done >= 3 else None


def finals(place):
    rows = read_ledger(place).table.to_pylist()
    return {r["trial_id"]: (r["outcome"], r["cause"], r["reward"]) for r in rows if r["is_final"]}


def successes(run):
    done = raysweep("report", run, "--json")
    assert done.returncode in {0, 3}, done.stderr
    keys = ("estimand", "model", "arm", "reference", "bucket", "facet", "value", "low", "high")
    found = json.loads(done.stdout)["findings"]
    return sorted(json.dumps([f.get(k) for k in keys]) for f in found if f["estimand"] == "success")


def test_head_killed_in_the_middle_and_resumed_equals_an_undisturbed_run(sweep, place, bucket, tmp_path):
    first = submitted(sweep, place)
    kuberay_stand_in.start(first)
    watched(first, sweep, lambda: some_done(first, sweep))
    again = raysweep("cluster", "submit", sweep)
    assert again.returncode == 2
    assert "is not finished" in again.stderr
    kuberay_stand_in.finish(first, "Failed")
    broken = done_trials(sweep)
    assert 3 <= broken < TRIALS

    second = submitted(sweep, place)
    kuberay_stand_in.start(second)
    assert watched(second, sweep, lambda: kuberay_stand_in.submitter_code(second)) == 0, output(sweep)
    assert f"{TRIALS} of {TRIALS} trials done" in output(sweep)
    kuberay_stand_in.finish(second, "Complete")

    told = yaml.safe_load(sweep.read_text())
    del told["cluster"]
    told["runner"] = {"concurrency": 2, "executor": "inprocess"}
    (tmp_path / "undisturbed.yaml").write_text(yaml.safe_dump(told))
    done = raysweep("run", tmp_path / "undisturbed.yaml", "--run-dir", tmp_path / "undisturbed")
    assert done.returncode == 0, done.stderr
    resumed = finals(run_path(f"{bucket}/live"))
    assert len(resumed) == TRIALS
    assert resumed == finals(tmp_path / "undisturbed")
    assert {cause for _, cause, _ in resumed.values()} >= {None, "oom_limit"}
    assert successes(f"{bucket}/live") == successes(tmp_path / "undisturbed")

    deleted = raysweep("cluster", "delete", sweep)
    assert deleted.returncode == 0, deleted.stderr
    assert jobs(place) == []


LOOK = """
import json, os, ssl, sys, urllib.request, urllib.error
host = sys.argv[1]
told = {"token": os.path.exists("/var/run/secrets/kubernetes.io"), "answers": {}, "text": []}
for name in os.listdir("/proc"):
    try:
        told["text"].append(open(f"/proc/{name}/environ", errors="replace").read())
    except OSError:
        pass
for path in sys.argv[2:]:
    try:
        with urllib.request.urlopen(f"https://{host}{path}", timeout=10, context=ssl._create_unverified_context()) as r:
            told["answers"][path] = r.status
    except urllib.error.HTTPError as error:
        told["answers"][path] = error.code
    except OSError:
        told["answers"][path] = None
print(json.dumps(told))
"""


async def test_a_sandbox_sees_no_token_no_key_and_nothing_of_the_api_server(sweep, place, images):
    secrets, pods = (f"/api/v1/namespaces/{n}" for n in (f"{place.control}/secrets", f"{place.sandboxes}/pods"))
    provider = KubernetesProvider(namespace=place.sandboxes, image=images[1], pull="never")
    run_id = f"run-look{place.mark}"
    await provider.prepare(run_id)
    size = Resources(cpu=100, memory=128 * MIB)
    sandbox = provider.open(SandboxSpec(run_id=run_id, name="look", request=size, limit=size, network=True))
    try:
        await sandbox.start()
        service = json.loads(kubectl("get", "service", "kubernetes", "-n", "default", "-o", "json"))
        host = service["spec"]["clusterIP"]
        words = ["/usr/bin/python3", "-c", LOOK, host, secrets, pods, "/api/v1/nodes"]
        result = await sandbox.exec("look", words, timeout_s=120.0, cwd="/")
    finally:
        await sandbox.stop()
        await provider.gc(run_id)
    told = json.loads(result.stdout)
    assert told["token"] is False
    assert set(told["answers"].values()) <= {401, 403, None}
    seen = "".join(told["text"])
    assert "PATH" in seen
    assert CANARY not in seen
    assert os.environ["AWS_ENDPOINT_URL"] not in seen
