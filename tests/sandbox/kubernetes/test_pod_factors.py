"""Levels of egress and of node type in a pod, and what the doctor says of nodes by their level; without a cluster."""

from dataclasses import replace

from raysweep.sandbox.kubernetes.pod import Binding, PodOptions, pod_manifest
from raysweep.sandbox.kubernetes.preflight import node_checks
from raysweep.sandbox.protocol import Planned, SandboxSpec
from raysweep.units import MIB, Resources
from support.kubernetes_fake import serving

OPTIONS = PodOptions(namespace="sandboxes", image="localhost/task:dev", node_selector={"zone": "a"})
BINDING = Binding(runner="driver", token="0" * 32, config_map="raysweep-supervisor-x", deadline_s=100.0)
SPEC = SandboxSpec("run-1", "t-1", Resources(249, 64 * MIB), Resources(250, 64 * MIB), labels={"task": "t"})


def test_a_level_of_node_type_is_selected_beside_what_all_pods_want():
    spec = replace(SPEC, node_selector={"pool": "large"})
    selector = pod_manifest(spec, OPTIONS, BINDING)["spec"]["nodeSelector"]
    assert selector == {"kubernetes.io/arch": "amd64", "zone": "a", "pool": "large"}


def test_a_bound_on_egress_is_asked_in_bits_a_second_and_nothing_is_where_there_is_none():
    def annotations(spec):
        return pod_manifest(spec, OPTIONS, BINDING)["metadata"]["annotations"]

    assert annotations(replace(SPEC, egress=MIB))["kubernetes.io/egress-bandwidth"] == str(8 * MIB)
    assert set(annotations(SPEC)) == {"raysweep.dev/task"}


def node(name, memory, **labels):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64", "zone": "a", **labels}},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "2", "memory": memory, "ephemeral-storage": "10Gi", "pods": "110"},
            "images": [],
        },
    }


async def test_the_doctor_looks_at_the_nodes_of_each_level(tmp_path, monkeypatch):
    listed = [node("n1", "256Mi", pool="small"), node("n2", "4Gi", pool="large")]

    def answer(request):
        items = listed if request.path.endswith("/nodes") else []
        return 200, {"items": items, "metadata": {"resourceVersion": "1"}}, {}

    big = replace(SPEC, request=Resources(249, 1024 * MIB), limit=Resources(250, 1024 * MIB))
    specs = [replace(big, node_selector={"pool": pool}) for pool in ("small", "large")]
    async with serving(answer, tmp_path, monkeypatch) as (_, api):
        checks = await node_checks(api, OPTIONS, Planned(specs), allow_unreachable=False)
        alone = await node_checks(api, OPTIONS, Planned([SPEC]), allow_unreachable=False)
    requests = {c.found.partition(":")[0]: c.ok for c in checks if c.name == "requests"}
    assert requests == {"pool=small": False, "pool=large": True}
    assert {c.ok for c in checks if c.name == "nodes"} == {True}
    assert not any(c.found.startswith("pool=") for c in alone)
