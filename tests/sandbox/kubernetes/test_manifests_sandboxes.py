"""cluster/sandboxes: the API server takes all of it, and its account may do what is listed and no more."""

import copy
import ipaddress
from pathlib import Path

import pytest
import yaml

from raysweep import apiserver as paths
from raysweep.apiserver import ApiError
from raysweep.sandbox.kubernetes import preflight

FOLDER = Path(__file__).parents[3] / "cluster" / "sandboxes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = [m for name in KUSTOMIZATION["resources"] for m in yaml.safe_load_all((FOLDER / name).read_text())]
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
}
RIGHTS = {
    "pods": {"create", "get", "list", "watch", "delete"},
    "pods/exec": {"get", "create"},
    "pods/log": {"get"},
    "events": {"list", "watch"},
    "leases": {"create", "get", "list", "update", "delete"},
    "configmaps": {"create", "get", "update", "delete"},
    "limitranges": {"list"},
    "resourcequotas": {"list"},
}
NODES = {"nodes": {"get", "list", "watch"}}


def named(kind, name):
    return next(m for m in MANIFESTS if (m["kind"], m["metadata"]["name"]) == (kind, name))


def verbs(rules):
    return {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}


def test_every_file_is_listed_and_all_lies_in_one_namespace():
    assert {p.name for p in FOLDER.glob("*.yaml")} == {*KUSTOMIZATION["resources"], "kustomization.yaml"}
    namespaces = {m["metadata"].get("namespace") for m in MANIFESTS if m["kind"] != "Namespace"} - {None}
    assert namespaces == {KUSTOMIZATION["namespace"]} == {named("Namespace", "raysweep-sandboxes")["metadata"]["name"]}


def test_the_roles_hold_what_is_needed_and_no_more():
    assert verbs(named("Role", "raysweep")["rules"]) == RIGHTS
    assert verbs(named("ClusterRole", "raysweep-nodes")["rules"]) == NODES
    assert {resource: set(needed) for (_, resource), needed in preflight.RIGHTS.items()} == {**RIGHTS, **NODES}
    for binding in (named("RoleBinding", "raysweep"), named("ClusterRoleBinding", "raysweep-nodes.raysweep-sandboxes")):
        assert [(s["kind"], s["name"]) for s in binding["subjects"]] == [("ServiceAccount", "raysweep")]


def open_to(policy, address):
    """Whether a pod with network may reach an address, by the policy's own rules."""
    ip = ipaddress.ip_address(address)
    blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule["to"] if "ipBlock" in to]
    return any(
        ip in ipaddress.ip_network(b["cidr"]) and not any(ip in ipaddress.ip_network(e) for e in b.get("except", ()))
        for b in blocks
        if ipaddress.ip_network(b["cidr"]).version == ip.version
    )


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("151.101.0.223", True), ("2a04:4e42::223", True),
        ("169.254.169.254", False), ("10.96.0.1", False), ("172.20.0.1", False), ("192.168.1.1", False),
        ("34.118.224.1", False), ("100.64.0.1", False), ("127.0.0.1", False), ("fd00::1", False), ("fe80::1", False),
    ],
)  # fmt: skip
def test_open_pods_reach_the_internet_and_nothing_of_the_cluster(address, reached):
    assert open_to(named("NetworkPolicy", "internet-for-open"), address) is reached


def test_all_other_pods_reach_nothing():
    deny = named("NetworkPolicy", "deny-all")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = [m["spec"]["podSelector"] for m in MANIFESTS if m["kind"] == "NetworkPolicy" and "egress" in m["spec"]]
    assert allowed == [{"matchLabels": {"raysweep.dev/network": "open"}}]


@pytest.mark.cluster
async def test_the_api_server_takes_every_manifest(cluster, admin):
    for manifest in copy.deepcopy(MANIFESTS):
        metadata = manifest["metadata"]
        metadata["name"] = f"{metadata['name']}-dry-run"
        if "namespace" in metadata:
            metadata["namespace"] = cluster.namespace
        path = COLLECTIONS[manifest["kind"]].format(cluster.namespace)
        made = await admin.create(path, manifest, dry_run=True)
        rest = {k: v for k, v in manifest.items() if k not in {"metadata", "apiVersion", "kind"}}
        for key, value in rest.items():
            assert drop_defaults(made[key], value) == value


def drop_defaults(made, sent):
    """What the server made, without the keys that it added."""
    if isinstance(sent, dict):
        return {k: drop_defaults(made.get(k), v) for k, v in sent.items()}
    if isinstance(sent, list):
        return [drop_defaults(m, s) for m, s in zip(made or (), sent, strict=False)]
    if isinstance(sent, str) and made is None:
        return sent  # the server drops `apiGroup: ""`
    return made


@pytest.mark.cluster
async def test_the_account_may_do_what_is_listed_and_nothing_else(cluster, api):
    review = await api.create(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": cluster.namespace}}
    )
    status = review["status"]
    assert not status["incomplete"]
    granted: dict[str, set[str]] = {}
    for rule in status["resourceRules"]:
        if not set(rule["apiGroups"]) & {"authorization.k8s.io", "authentication.k8s.io"}:  # of every account
            for resource in rule["resources"]:
                granted.setdefault(resource, set()).update(rule["verbs"])
    assert granted == {**RIGHTS, **NODES}


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("namespace", "path"),
    [
        ("kube-system", "/api/v1/namespaces/{}/pods"),
        (None, "/api/v1/namespaces/{}/secrets"),
        (None, "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles"),
        (None, "/api/v1/namespaces"),
        (None, "/api/v1/nodes/devnode/proxy/pods"),
    ],
)
async def test_what_is_not_listed_is_refused(cluster, api, namespace, path):
    with pytest.raises(ApiError) as caught:
        await api.get(path.format(namespace or cluster.namespace))
    assert caught.value.status == 403
    assert "items" in await api.get(paths.pods(cluster.namespace))
