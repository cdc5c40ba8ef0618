"""Without an operator, for real: a Job's pod runs a sweep with the shipped accounts, is killed, and another goes on."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from raysweep.record.place import run_path, store_at
from raysweep.record.reader import read_ledger
from support.deployed import kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 900.0
"""The image may still be under way when the tests begin."""
TRIALS = 24


def raysweep(*words):
    return subprocess.run([RAYSWEEP, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture
def sweep(place, images, bucket, tmp_path):
    told = {
        "name": "alone",
        "seed": 3,
        "tasks": {"source": "bundled:headroom", "include": ["sort-lines", "count-distinct"]},
        "models": [{"name": "heavy", "agent": "scripted", "strategy": "heavy"}],
        "bands": [
            {"name": "1x", "request": {"cpu": 0.1}, "limit": 1.0},
            {"name": "uncapped", "request": {"cpu": 0.1}, "limit": "none"},
        ],
        "reference": "1x",
        "repeats": 6,
        "sandbox": {
            "kind": "kubernetes",
            "namespace": place.sandboxes,
            "image": images[1],
            "images": "tags",
            "pull": "never",
            "priority_class": "raysweep-sandboxes",
        },
        "runner": {"concurrency": 1, "executor": "inprocess"},
        "probes": {"enabled": False},
        "cluster": {
            "operator": "none",
            "image": images[0],
            "pull": "never",
            "namespace": place.control,
            "run_dir": f"{bucket}/alone",
            "bucket_secrets": ["bucket"],
            "runners": {"cpu": "500m", "memory": "1Gi", "shm": "128Mi"},
        },
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(told))
    yield file
    raysweep("cluster", "delete", file)


def listed(kind, place):
    items = json.loads(kubectl("get", kind, "-n", place.control, "-l", "raysweep.dev/study=alone", "-o", "json"))
    return items["items"]


def output(place):
    names = [pod["metadata"]["name"] for pod in listed("pods", place)]
    return "\n".join(f"{n}: {kubectl('logs', n, '-n', place.control, check=False).stdout[-2000:]}" for n in names)


def until(look, place):
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end, output(place)
        time.sleep(1)
    return found


def done_trials(sweep):
    told = raysweep("cluster", "status", sweep, "--json")
    return json.loads(told.stdout)["done"] if told.returncode == 0 else 0


def ended(place):
    conditions = [c for job in listed("jobs", place) for c in job["status"].get("conditions", ())]
    return [c["type"] for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"]


def test_a_driver_that_is_killed_is_followed_by_one_that_goes_on(sweep, place, bucket):
    submitted = raysweep("cluster", "submit", sweep)
    assert submitted.returncode == 0, submitted.stderr
    until(lambda: done_trials(sweep) or ended(place), place)
    assert ended(place) == [], output(place)
    assert raysweep("cluster", "submit", sweep).returncode == 2
    (driver,) = [pod["metadata"]["name"] for pod in listed("pods", place)]
    kubectl("delete", "pod", driver, "-n", place.control, "--grace-period=0", "--force", "--wait=true")
    assert done_trials(sweep) < TRIALS

    assert until(lambda: ended(place), place) == ["Complete"], output(place)
    told = raysweep("cluster", "logs", sweep)
    assert f"{TRIALS} of {TRIALS} trials done" in told.stdout + told.stderr
    run = run_path(f"{bucket}/alone")
    finals = [row for row in read_ledger(run).table.to_pylist() if row["is_final"]]
    assert len({row["trial_id"] for row in finals}) == len(finals) == TRIALS
    assert {row["cause"] for row in finals if row["band"] == "1x"} >= {"oom_limit"}
    assert {row["outcome"] for row in finals if row["band"] == "uncapped"} == {"scored"}
    assert len([n for n in store_at(run).names("ledger") if n.startswith("epoch-")]) == 2
    assert "cluster:" not in store_at(run).get("sweep.yaml").decode()
