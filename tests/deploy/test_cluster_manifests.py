"""cluster/ on a real API server: what is shipped is admitted, KubeRay's schemas included, with the least rights."""

import json
import os
import re
import shutil

import pytest
import yaml

from raysweep.config import load
from raysweep.deploy import render
from raysweep.sandbox.kubernetes.preflight import RIGHTS
from support.deployed import ROOT, apply, built, kubectl, reviewed

CONFIGS = ROOT / "configs"
OVERLAYS = sorted(p.parent.relative_to(ROOT / "cluster") for p in (ROOT / "cluster").glob("**/kustomization.yaml"))
NODES = {("", "nodes"): {"get", "list", "watch"}}
SANDBOXES = {right: set(verbs) for right, verbs in RIGHTS.items()}
AUTOSCALER = {
    ("", "pods"): {"get", "list", "watch", "patch"},
    ("", "pods/resize"): {"patch"},
    ("ray.io", "rayclusters"): {"get", "patch"},
    ("ray.io", "rayjobs"): {"patch"},
}
SUBMITTER = {
    ("ray.io", "rayjobs"): {"create", "get", "list"},
    ("batch", "jobs"): {"get", "list"},
    ("batch", "cronjobs"): {"list", "patch"},
}
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


def test_no_priority_of_ours_displaces_a_pod():
    classes = list(yaml.safe_load_all((ROOT / "cluster" / "base" / "priority.yaml").read_text()))
    assert {c["metadata"]["name"]: c["preemptionPolicy"] for c in classes} == dict.fromkeys(
        ("raysweep-control", "raysweep-sandboxes"), "Never"
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_a_second_namespace_has_a_cluster_role_binding_of_its_own(tmp_path):
    folder = shutil.copytree(ROOT / "cluster" / "sandboxes", tmp_path / "sandboxes")
    first = folder / "kustomization.yaml"
    first.write_text(first.read_text().replace("namespace: raysweep-sandboxes\n", "namespace: other\n"))
    names = {}
    for manifests in (built("sandboxes"), built(folder)):
        (binding,) = [m for m in manifests if m["kind"] == "ClusterRoleBinding"]
        (subject,) = binding["subjects"]
        names[subject["namespace"]] = binding["metadata"]["name"]
    assert names == {
        "raysweep-sandboxes": "raysweep-nodes.raysweep-sandboxes",
        "other": "raysweep-nodes.other",
    }


@pytest.mark.parametrize(
    ("labels", "ports"),
    [
        ({"app.kubernetes.io/name": "kuberay-operator"}, {8265}),  # by Helm
        ({"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/component": "kuberay-operator"}, {8265}),  # kustomize
        ({"app.kubernetes.io/name": "kuberay", "ray.io/is-ray-node": "yes"}, set()),  # somebody else's Ray
    ],
)
def test_of_other_namespaces_only_the_operator_reaches_the_dashboard(labels, ports):
    (policy,) = yaml.safe_load_all((ROOT / "cluster" / "base" / "network.yaml").read_text())
    assert policy["spec"]["podSelector"] == {}
    open_to = set()
    for rule in policy["spec"]["ingress"]:
        outside = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "namespaceSelector" in peer]
        if any(wanted.items() <= labels.items() for wanted in outside):
            open_to |= {port["port"] for port in rule["ports"]}
    assert open_to == ports


@pytest.mark.cluster
@pytest.mark.parametrize("folder", OVERLAYS, ids=str)
def test_every_overlay_builds_and_is_admitted(place, folder, tmp_path):
    manifests = built_with(folder, tmp_path) if folder.parts[0] == "components" else built(folder)
    moved = [m for m in place.moved(manifests) if m["kind"] not in {"Namespace", "PodMonitor"}]
    assert len(apply(moved, "--dry-run=server")) == len(moved) > 0


def built_with(component, tmp_path):
    """What a component adds to an overlay that says so."""
    base, added = (os.path.relpath(ROOT / "cluster" / p, tmp_path.resolve()) for p in ("sandboxes", component))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [base], "components": [added]}))
    without = {(m["kind"], m["metadata"]["name"]) for m in built("sandboxes")}
    manifests = built(tmp_path)
    assert {(m["kind"], m["metadata"]["name"]) for m in manifests} > without
    return [m for m in manifests if (m["kind"], m["metadata"]["name"]) not in without]


def pods_with_ports():
    """(labels, names of ports) of every pod that Prometheus may find, KubeRay's label included."""
    told = render(load(CONFIGS / "cluster-gke.yaml"), "raycluster")[-1]["spec"]
    for kind, group in (("head", told["headGroupSpec"]), ("worker", told["workerGroupSpecs"][0])):
        yield {**group["template"]["metadata"]["labels"], "ray.io/node-type": kind}, ports_of(group["template"])
    alone = render(load(CONFIGS / "cluster-dev.yaml"))[-1]["spec"]["jobTemplate"]["spec"]["template"]
    yield alone["metadata"]["labels"], ports_of(alone)


def ports_of(template):
    return {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}


@pytest.mark.parametrize(("name", "found"), [("raysweep-driver", 2), ("raysweep-ray", 2)])
def test_a_pod_monitor_has_fields_of_the_operators_api_and_finds_ports_of_our_pods(name, found):
    manifests = yaml.safe_load_all((ROOT / "cluster" / "observability" / "podmonitors.yaml").read_text())
    (monitor,) = [m for m in manifests if m["metadata"]["name"] == name]
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    # Required: spec.selector; without namespaceSelector pods of its own namespace are found.
    assert set(monitor["spec"]) == {"selector", "podMetricsEndpoints"}
    assert set(monitor["spec"]["selector"]) == {"matchExpressions"}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert set(endpoint) == {"port", "interval"}
    assert re.fullmatch(r"[1-9][0-9]*s", endpoint["interval"])
    wanted = monitor["spec"]["selector"]["matchExpressions"]
    assert {e["operator"] for e in wanted} == {"In"}
    matched = [ports for labels, ports in pods_with_ports() if all(labels.get(e["key"]) in e["values"] for e in wanted)]
    assert len([ports for ports in matched if endpoint["port"] in ports]) == found


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
