"""The shipped configuration on a real cluster: kills where the arm has them, as in local sandboxes, nothing left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raysweep import apiserver as paths
from raysweep.record.reader import read_ledger

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
CONFIG = Path(__file__).parents[3] / "configs" / "kubernetes-quickstart.yaml"


def raysweep(*words):
    return subprocess.run([RAYSWEEP, *map(str, words)], capture_output=True, text=True, check=False)


def finals(run):
    rows = read_ledger(run).table.to_pylist()
    return {(r["task"], r["model"], r["band"]): r for r in rows if r["is_final"]}


def expect_limits_probed(run):
    """Before the first block and after the last each band was put to the test, and its limit seen to be its own."""
    probes = read_ledger(run).probes.to_pylist()
    bands = ("1x", "3x", "uncapped")
    assert sorted((p["moment"], p["band"]) for p in probes) == sorted(
        (m, b) for m in ("before", "after") for b in bands
    )
    assert {p["band"]: (p["held"], p["killed"], p["own_limit"]) for p in probes} == {
        "1x": (True, True, True),
        "3x": (True, True, True),
        "uncapped": (True, None, None),
    }
    assert {p["platform"] for p in probes} == {None}


def written(folder, kind, sandbox):
    """The shipped sweep, once over, without windows; left out is the task whose outcome hangs on a free cpu."""
    sweep = yaml.safe_load(CONFIG.read_text())
    sweep |= {"sandbox": sandbox, "repeats": 1, "runner": {"concurrency": 3}}
    sweep["tasks"]["exclude"] = ["compress-chunks"]
    del sweep["buckets"]
    file = folder / f"{kind}.yaml"
    file.write_text(yaml.safe_dump(sweep))
    return file


async def test_the_quickstart_in_pods_agrees_with_local_task_by_task(tmp_path, cluster, admin, needs_local):
    own = yaml.safe_load(CONFIG.read_text())["sandbox"] | {"namespace": cluster.namespace, "image": cluster.image}
    rows = {}
    for kind, sandbox in (("kubernetes", own), ("local", {"kind": "local"})):
        done = raysweep("run", written(tmp_path, kind, sandbox), "--run-dir", tmp_path / kind)
        assert done.returncode == 0, done.stderr
        rows[kind] = finals(tmp_path / kind)
        expect_limits_probed(tmp_path / kind)
    in_pods, here = ({k: (r["outcome"], r["cause"], r["reward"]) for k, r in rows[kind].items()} for kind in rows)
    assert len(in_pods) == 54
    assert in_pods == here
    killed = {band for (_, _, band), (_, cause, _) in in_pods.items() if cause in {"oom_limit", "oom_verifier"}}
    assert "1x" in killed
    assert "uncapped" not in killed
    nodes = [dict(row["node"]) for row in rows["kubernetes"].values()]
    assert {node["qos_class"] for node in nodes} == {"Burstable"}
    assert all(int(node["allocatable_memory"]) > 0 for node in nodes)
    run_id = json.loads((tmp_path / "kubernetes" / "run.json").read_text())["run_id"].removeprefix("run-")
    for path in (paths.pods, paths.leases, paths.config_maps):
        left, _ = await admin.collect(path(cluster.namespace))
        assert [thing["metadata"]["name"] for thing in left if run_id in thing["metadata"]["name"]] == []
    report = raysweep("report", tmp_path / "kubernetes", "--json")
    assert report.returncode in {0, 3}, report.stderr
    codes = {check["code"] for check in json.loads(report.stdout)["checks"]}
    assert "shared_nodes" in codes
    assert "qos_classes" not in codes
