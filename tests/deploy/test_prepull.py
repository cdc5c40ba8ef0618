"""Images on every sandbox node before the sweep: the DaemonSet as a value, and on a real node."""

import pytest
from deployed import ROOT, kubectl

from raysweep import config
from raysweep.deploy.prepull import HELPER, prepull


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
