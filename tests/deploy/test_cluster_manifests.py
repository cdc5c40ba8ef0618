"""cluster/ on a real API server: what is shipped is admitted, KubeRay's schemas included, with the least rights."""

import json

import pytest
import yaml
from deployed import ROOT, apply, built, kubectl, reviewed

from raysweep.config import load
from raysweep.deploy import render
from raysweep.sandbox.kubernetes.preflight import RIGHTS

CONFIGS = ROOT / "configs"
OVERLAYS = sorted(p.parent.relative_to(ROOT / "cluster") for p in (ROOT / "cluster").glob("**/kustomization.yaml"))
NODES = {("", "nodes"): {"get", "list", "watch"}}
SANDBOXES = {right: set(verbs) for right, verbs in RIGHTS.items()}
AUTOSCALER = {
    ("", "pods"): {"get", "list", "watch", "patch"},
    ("", "pods/resize"): {"patch"},
    ("ray.io", "rayclusters"): {"get", "patch"},
}
SUBMITTER = {("ray.io", "rayjobs"): {"create", "get", "list"}, ("batch", "jobs"): {"get", "list"}}
GIVEN = {
    "raysweep-runner": (NODES, SANDBOXES),
    "raysweep-head": ({**NODES, **AUTOSCALER}, SANDBOXES),
    "raysweep-submitter": (SUBMITTER, {}),
    "raysweep-reaper": (
        {},
        {
            ("", "pods"): {"list", "delete"},
            ("", "configmaps"): {"delete"},
            ("coordination.k8s.io", "leases"): {"list", "delete"},
        },
    ),
}


def test_the_study_of_the_dev_overlay_is_what_its_sweep_renders():
    committed = list(yaml.safe_load_all((ROOT / "cluster" / "overlays" / "dev" / "study.yaml").read_text()))
    rendered = render(load(CONFIGS / "cluster-dev.yaml"))
    remedy = "raysweep cluster render configs/cluster-dev.yaml > cluster/overlays/dev/study.yaml"
    assert committed == rendered, remedy


@pytest.mark.cluster
@pytest.mark.parametrize("folder", OVERLAYS, ids=str)
def test_every_overlay_builds_and_is_admitted(place, folder):
    if folder.parts[0] == "components":
        manifests = [yaml.safe_load((ROOT / "cluster" / folder / "runtimeclass.yaml").read_text())]
    else:
        manifests = built(folder)
    moved = [m for m in place.moved(manifests) if m["kind"] not in {"Namespace", "PodMonitor"}]
    assert len(apply(moved, "--dry-run=server")) == len(moved) > 0


@pytest.mark.cluster
@pytest.mark.parametrize("form", ["schedule", "job", "raycronjobs", "raycluster"])
def test_what_is_rendered_passes_kuberays_own_schemas(place, form):
    if form != "schedule" and "rayjobs.ray.io" not in kubectl("get", "crd", "-o", "name"):
        pytest.skip("the cluster has no KubeRay schemas")
    moved = place.moved(render(load(CONFIGS / "cluster-gke.yaml"), form))
    assert len(apply(moved, "--dry-run=server")) == len(moved) > 1
    # The server is strict: a key that it does not know is refused, deep inside, too.
    *_, last = moved
    broken = json.loads(json.dumps(last).replace('"serviceAccountName"', '"serviceAcountName"'))
    refused = kubectl(
        "apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", given=broken, check=False
    )
    assert refused.returncode != 0
    assert "serviceAcountName" in refused.stderr


@pytest.mark.cluster
@pytest.mark.parametrize("account", GIVEN)
def test_an_account_may_do_what_is_listed_and_nothing_else(place, account):
    own, there = GIVEN[account]
    assert reviewed(place, account, place.control) == own
    everywhere = NODES if ("", "nodes") in own else {}
    assert reviewed(place, account, place.sandboxes) == {**everywhere, **there}
    assert reviewed(place, account, "kube-system") == everywhere


@pytest.mark.cluster
@pytest.mark.parametrize(
    "question",
    [
        ("get", "secrets", "control"), ("get", "secrets", "sandboxes"), ("get", "configmaps", "control"),
        ("create", "pods", "control"), ("get", "nodes/proxy", None), ("create", "pods/exec", "control"),
        ("get", "pods", "kube-system"), ("create", "serviceaccounts/token", "control"), ("impersonate", "users", None),
    ],
    ids=lambda q: "-".join(str(part) for part in q).replace("/", "."),
)  # fmt: skip
def test_a_runner_may_not(place, question):
    verb, resource, where = question
    namespace = {"control": place.control, "sandboxes": place.sandboxes}.get(where, where)
    user = f"--as=system:serviceaccount:{place.control}:raysweep-runner"
    resource, _, part = resource.partition("/")
    words = ["auth", "can-i", verb, resource, user, *([f"--subresource={part}"] if part else [])]
    words += ["-n", namespace] if namespace else []
    assert kubectl(*words, check=False).stdout.strip() == "no"
