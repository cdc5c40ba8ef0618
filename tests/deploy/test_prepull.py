"""Images on every sandbox node before the sweep: the DaemonSet as a value, and on a real node."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raysweep import config
from raysweep.deploy.prepull import HELPER, prepull
from support.deployed import ROOT, kubectl


@pytest.fixture
def sweep():
    return config.load(ROOT / "configs" / "cluster-gke.yaml")


def test_each_image_runs_the_helper_alone_where_sandboxes_run(sweep):
    made = prepull(sweep, ["b", "a", "b"])
    spec = made["spec"]["template"]["spec"]
    assert [c["image"] for c in spec["initContainers"]] == [sweep.cluster.image, "b", "a"]
    assert {tuple(c["command"]) for c in spec["initContainers"][1:]} == {(HELPER, "true")}
    assert made["metadata"]["namespace"] == sweep.sandbox.namespace
    assert spec["nodeSelector"] == {"raysweep.dev/pool": "sandboxes"}
    assert [t["value"] for t in spec["tolerations"]] == ["sandboxes"]
    assert spec["automountServiceAccountToken"] is False
    assert made["spec"]["selector"]["matchLabels"].items() <= made["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.cluster
def test_a_real_api_server_admits_it(place, sweep):
    sandbox = sweep.sandbox.model_copy(update={"namespace": place.sandboxes})
    made = prepull(sweep.model_copy(update={"sandbox": sandbox}), ["docker.io/library/python:3.12-slim-bookworm"])
    told = kubectl("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", given=made)
    assert told.split() == ["daemonset.apps/headroom-gke-prepull", "serverside-applied", "(server", "dry", "run)"]


@pytest.mark.cluster
def test_the_printed_daemon_set_becomes_ready_and_every_image_has_run(place, images, tmp_path):
    told = yaml.safe_load((ROOT / "configs" / "cluster-dev.yaml").read_text())
    told["sandbox"] |= {"namespace": place.sandboxes, "image": images[1]}
    told["cluster"] |= {"namespace": place.control, "image": images[0]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(told))
    raysweep = Path(sys.executable).parent / "raysweep"
    words = [raysweep, "cluster", "prepull", tmp_path / "sweep.yaml"]
    printed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "prepull.yaml").write_text(printed.stdout)
    kubectl("apply", "--server-side", "--validate=strict", "-f", str(tmp_path / "prepull.yaml"))
    try:
        ready = kubectl("rollout", "status", "daemonset/dev-prepull", "-n", place.sandboxes, "--timeout=600s")
        assert "successfully rolled out" in ready
        listed = kubectl("get", "pods", "-n", place.sandboxes, "-l", "raysweep.dev/role=prepull", "-o", "json")
        pods = json.loads(listed)["items"]
        assert pods
        for pod in pods:
            ran = {c["name"]: c["state"]["terminated"]["exitCode"] for c in pod["status"]["initContainerStatuses"]}
            assert ran == {"helper": 0, "image-1": 0}
            assert [c["image"] for c in pod["spec"]["initContainers"]] == [images[0], images[1]]
    finally:
        kubectl("delete", "daemonset", "dev-prepull", "-n", place.sandboxes)
