"""Images on every sandbox node before the sweep: the DaemonSet as a value, and on a real node."""

import json
import time

import pytest
from deployed import ROOT, kubectl

from raysweep import config
from raysweep.deploy.prepull import HELPER, prepull

PATIENCE_S = 300


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
def test_on_a_real_node_every_image_is_there_in_the_end(place, images, tmp_path):
    own, task = images
    text = (ROOT / "configs" / "cluster-dev.yaml").read_text()
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    sweep = config.load(path)
    sweep = sweep.model_copy(
        update={
            "cluster": sweep.cluster.model_copy(update={"image": own, "pull": "never"}),
            "sandbox": sweep.sandbox.model_copy(update={"namespace": place.sandboxes}),
        }
    )
    kubectl("apply", "--server-side", "--validate=strict", "-f", "-", given=prepull(sweep, [task]))
    name = prepull(sweep, [task])["metadata"]["name"]
    until, status = time.monotonic() + PATIENCE_S, {}
    while not (status.get("desiredNumberScheduled") and status["desiredNumberScheduled"] == status.get("numberReady")):
        assert time.monotonic() < until, kubectl("describe", "pods", "-n", place.sandboxes)
        time.sleep(1)
        status = json.loads(kubectl("get", "daemonset", name, "-n", place.sandboxes, "-o", "json"))["status"]
    kubectl("delete", "daemonset", name, "-n", place.sandboxes)
