"""What the doctor makes of nodes, measurements and refusals, without a cluster."""

from dataclasses import replace

import pytest

from raysweep.apiserver import ApiError
from raysweep.sandbox.kubernetes.capacity import Room, at_once, extremes, pod_request, rooms, too_large, unreachable
from raysweep.sandbox.kubernetes.doctor import Network, judge, run_checks
from raysweep.sandbox.kubernetes.nodes import machine_type
from raysweep.sandbox.kubernetes.pod import PodOptions
from raysweep.sandbox.kubernetes.preflight import _on_nodes, has_image, refusal_remedy, shortened
from raysweep.sandbox.kubernetes.priorities import displaced
from raysweep.sandbox.kubernetes.probe import Proof
from raysweep.sandbox.kubernetes.provider import KubernetesProvider
from raysweep.sandbox.protocol import Capabilities, Planned, SandboxSpec, TellsChecks
from raysweep.units import GIB, MIB, Resources, parse_millicores
from support.kubernetes_fake import serving, status

OPTIONS = PodOptions(namespace="sandboxes", image="localhost/task:dev")


def node(name="n1", *, taints=(), ready="True", labels=None, unschedulable=False, images=(), **allocatable):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64", **(labels or {})}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", **allocatable},
            "images": [{"names": [image]} for image in images],
        },
    }


def pod(node_name, cpu, memory, *, phase="Running", labels=None):
    requests = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": "p", "labels": labels or {}},
        "spec": {"nodeName": node_name, "containers": [{"name": "c", "resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def spec(name, request, limit):
    return SandboxSpec("run-1", name, request, limit, labels={"task": name, "band": "3x"})


def test_room_is_what_other_pods_leave():
    others = [
        pod("n1", "100m", "1Gi"),
        pod("n1", "1", "1Gi", phase="Succeeded"),
        pod("n1", "1", "1Gi", labels={"raysweep.dev/attempt": "t-1"}),  # goes when the sweep comes
        pod("n2", "1", "1Gi"),
        {**pod("", "1", "1Gi"), "spec": {"containers": []}},
    ]
    (room,) = rooms([node(labels={"node.kubernetes.io/instance-type": "n2-standard-2"})], others, OPTIONS)
    whole, free = Resources(2000, 4 * GIB, 10 * GIB), Resources(1900, 3 * GIB, 10 * GIB)
    assert room == Room("n1", "n2-standard-2", free, 109, frozenset(), images_complete=True, allocatable=whole)
    assert room.emptied().free == whole


@pytest.mark.parametrize(
    ("cpu", "required"), [("500m", {"requests": False, "limits": False}), ("3", {"requests": True, "limits": True})]
)
def test_nodes_that_are_full_now_are_waited_for_and_nodes_that_are_too_small_are_not(cpu, required):
    asked = Resources(parse_millicores(cpu), 256 * MIB, None)
    planned = Planned([spec("s", asked, asked)])
    nodes, others = [node()], [pod("n1", "1900m", "1Gi")]
    checks = _on_nodes(nodes, others, planned, OPTIONS, everywhere=True, allow_unreachable=False)
    assert {c.name: c.required for c in checks if not c.ok and c.name in {"requests", "limits"}} == required


TAINT = {"key": "pool", "value": "sandboxes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("made", "options", "taken"),
    [
        (node(), OPTIONS, True),
        (node(ready="Unknown"), OPTIONS, False),
        (node(unschedulable=True), OPTIONS, False),
        (node(labels={"kubernetes.io/arch": "arm64"}), OPTIONS, False),
        (node(labels={"pool": "a"}), replace(OPTIONS, node_selector={"pool": "a"}), True),
        (node(), replace(OPTIONS, node_selector={"pool": "a"}), False),
        (node(taints=[TAINT]), OPTIONS, False),
        (node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), OPTIONS, True),
        (node(taints=[TAINT]), replace(OPTIONS, tolerations=({"operator": "Exists"},)), True),
        (node(taints=[TAINT]), replace(OPTIONS, tolerations=({"key": "pool", "operator": "Exists"},)), True),
        (node(taints=[TAINT]), replace(OPTIONS, tolerations=({"key": "pool", "value": "sandboxes"},)), True),
        (node(taints=[TAINT]), replace(OPTIONS, tolerations=({"key": "pool", "value": "other"},)), False),
        (node(taints=[TAINT]), replace(OPTIONS, tolerations=({"key": "pool", "operator": "Exists", "effect":
         "NoExecute"},)), False),
    ],
)  # fmt: skip
def test_nodes_that_a_sandbox_may_get(made, options, taken):
    assert bool(rooms([made], [], options)) is taken


def test_the_scheduler_counts_sums_and_the_largest_init_container():
    def asking(cpu):
        return {"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}}

    told = {"containers": [asking("100m"), asking("200m"), {}], "initContainers": [asking("250m"), asking("1")]}
    assert pod_request(told) == Resources(1000, 2 * MIB, 0)
    assert pod_request({"containers": [asking("1")], "initContainers": [asking("100m")]}) == Resources(1000, MIB, 0)


SMALL = Room("small", "m", Resources(2000, 4 * GIB, None), 110, frozenset(), images_complete=True)
LARGE = replace(SMALL, node="large", free=Resources(8000, 32 * GIB, None))


def test_a_limit_that_the_smallest_node_cannot_give_is_named():
    planned = [
        spec("a", Resources(250, 64 * MIB), Resources(750, 192 * MIB)),
        spec("b", Resources(1000, 2 * GIB), Resources(3000, 6 * GIB)),
        spec("c", Resources(1000, 2 * GIB), Resources(None, None)),
    ]
    assert list(unreachable(planned, [LARGE])) == []
    cpu, memory = unreachable(planned, [SMALL, LARGE])
    assert cpu == "cpu limit of 3 of task b in band 3x; small has 2 beside other pods' requests"
    assert memory == "memory limit of 6Gi of task b in band 3x; small has 4Gi beside other pods' requests"
    assert list(unreachable(planned[:1] + planned[2:], [SMALL])) == []
    assert list(too_large(planned, [SMALL])) == []


def test_a_request_that_no_node_holds_counts_the_keeper():
    exactly = [spec("a", Resources(1000, 4 * GIB), Resources())]
    (line,) = too_large(exactly, [SMALL])
    assert "memory (keeper included) is requested by task a in band 3x; no node has more than 4Gi" in line
    assert list(too_large(exactly, [SMALL, LARGE])) == []
    assert list(too_large([spec("s", Resources(1, 1, GIB), Resources())], [SMALL])) == []  # no node tells its storage


def test_what_the_nodes_hold_at_once():
    planned = [spec("a", Resources(999, 64 * MIB), Resources()), spec("b", Resources(10, GIB - 32 * MIB), Resources())]
    assert at_once(planned, [SMALL]) == 2  # by cpu
    assert at_once(planned, [SMALL, LARGE]) == 10
    assert at_once(planned[1:], [SMALL]) == 4  # by memory
    assert at_once(planned, [replace(SMALL, slots=1), LARGE]) == 9
    assert at_once(planned, [SMALL, LARGE], exclusive=True) == 2
    assert at_once(planned, []) == 0
    assert at_once([spec("s", Resources(1, 1, 10 * GIB), Resources())], [SMALL, replace(LARGE, free=Resources(
        8000, 32 * GIB, 25 * GIB))]) == 112  # fmt: skip


def test_each_kind_of_bounds_has_its_extremes_looked_at():
    finite = [spec(f"f{n}", Resources(n, n * MIB), Resources(n, n * MIB)) for n in (3, 1, 2)]
    uncapped = [spec(f"u{n}", Resources(n, n * MIB), Resources()) for n in (2, 1)]
    assert [s.name for s in extremes([*finite, *uncapped])] == ["f1", "f3", "u1", "u2"]
    assert [s.name for s in extremes(uncapped[:1])] == ["u2"]
    assert extremes([]) == []


@pytest.mark.parametrize(
    ("listed", "name", "there"),
    [
        ("docker.io/library/python:3.12", "python:3.12", True),
        ("docker.io/library/python:latest", "python", True),
        ("docker.io/library/python:3.12", "docker.io/library/python:3.12", True),
        ("docker.io/library/python:3.12", "library/python:3.12", True),
        ("docker.io/library/python:3.12", "python:3.13", False),
        ("localhost/task:dev", "localhost/task:dev", True),
        ("registry.example:5000/a:1", "registry.example:5000/a:1", True),
        ("registry.example:5000/a:latest", "registry.example:5000/a", True),
        ("docker.io/owner/a:1", "owner/a:1", True),
        ("localhost/a@sha256:12", "localhost/a@sha256:12", True),
    ],
)
def test_images_on_a_node_are_known_by_their_short_names(listed, name, there):
    assert has_image(replace(SMALL, images=frozenset([listed])), name) is there


GOOD = Proof(Capabilities(memory="enforced", oom="process", cgroup=1), 1019, "n1", 0.1)
QUIET = Network((), (), 0)


def judged(proof=GOOD, network=QUIET, untrusted=(), *, require_isolation=False):
    checks = judge(proof, network, untrusted, require_isolation=require_isolation)
    return {c.name: (c.ok, c.required) for c in checks}, {c.name: c for c in checks}


def test_a_good_cluster_passes():
    assert all(ok for ok, _ in judged()[0].values())


@pytest.mark.parametrize(
    ("change", "name", "required"),
    [
        ({"proof": replace(GOOD, capabilities=Capabilities(cgroup=2, oom="group"))}, "memory limit", True),
        ({"proof": replace(GOOD, pids_limit=None)}, "pids", False),
        ({"proof": replace(GOOD, pids_limit=None), "untrusted": ("gpt",)}, "pids", True),
        ({"network": Network(("the API server",), (), 0)}, "network isolation", False),
        ({"network": Network((), ("the metadata server",), 0)}, "network isolation", False),
        ({"network": Network(("another sandbox",), (), 0), "require_isolation": True}, "network isolation", True),
        ({"proof": replace(GOOD, clock_offset_s=-2.5)}, "clocks", False),
        ({"proof": replace(GOOD, clock_offset_s=None)}, "clocks", False),
        ({"network": Network((), (), GIB)}, "swap", False),
    ],
)
def test_what_is_measured_badly_is_said_with_its_remedy(change, name, required):
    summary, checks = judged(**change)
    assert {n for n, (ok, _) in summary.items() if not ok} == {name}
    assert summary[name] == (False, required)
    assert checks[name].remedy


def test_untrusted_agents_are_named_where_nothing_stops_them():
    check = judged(proof=replace(GOOD, pids_limit=None), untrusted=("gpt", "claude"))[1]["pids"]
    assert "gpt, claude" in check.found
    assert judged(untrusted=("gpt",))[0]["pids"] == (True, True)


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0', "ResourceQuota"),
        ('pods "a" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities', "baseline"),
        ('pods "a" is forbidden: maximum memory usage per Container is 8Mi, but limit is 64Mi', "LimitRange"),
        ('pod rejected: RuntimeClass "gvisor" not found', "runtime_class"),
        ('pods "a" is forbidden: no PriorityClass with name x was found', "priority_class"),
        ('admission webhook "deny.example" denied the request', "webhook"),
        ("something else", "message"),
    ],
)
def test_refusals_have_remedies(message, remedy):
    assert remedy in refusal_remedy(ApiError(403, "Forbidden", message))


def test_long_lists_are_cut():
    assert shortened(["a", "b", "c"]) == "a; b; c"
    assert shortened([*"abcde"]) == "a; b; c (and 2 more)"


@pytest.mark.parametrize(
    ("labels", "capacity", "kind"),
    [
        ({"node.kubernetes.io/instance-type": "n2-standard-2"}, {"cpu": "2", "memory": "8Gi"}, "n2-standard-2"),
        ({}, {"cpu": "2", "memory": "4194304Ki"}, "amd64 2 cpu 4.0Gi"),
        ({}, {"cpu": "4", "memory": "8165500Ki"}, "amd64 4 cpu 7.8Gi (2 cpu 4.0Gi for pods)"),
        ({}, {}, "amd64 2 cpu 4.0Gi"),
    ],
)
def test_a_node_that_nobody_labels_is_known_by_what_it_has(labels, capacity, kind):
    one = node(labels=labels)
    one["status"]["capacity"] = capacity
    assert machine_type(one) == kind
    (room,) = rooms([one], [], OPTIONS)
    assert room.machine == kind


def priority(name, value, policy="PreemptLowerPriority", **more):
    return {"metadata": {"name": name}, "value": value, "preemptionPolicy": policy, **more}


SYSTEM = priority("system-node-critical", 2_000_001_000)
OURS = (priority("raysweep-control", 100_000, "Never"), priority("raysweep-sandboxes", 1000, "Never"))


@pytest.mark.parametrize(
    ("classes", "chosen", "warned"),
    [
        ((SYSTEM, *OURS), "raysweep-sandboxes", []),
        ((SYSTEM, *OURS, priority("raysweep-operator", 200_000)), None, []),
        ((SYSTEM, *OURS, priority("batch", 500)), "raysweep-sandboxes", []),
        ((SYSTEM, *OURS, priority("web", 5000)), "raysweep-sandboxes", ["pods of web may displace sandboxes"]),
        ((SYSTEM, *OURS, priority("batch", 500)), None, ["pods of batch may displace sandboxes"]),
        ((SYSTEM, priority("all", 500, globalDefault=True)), None, []),
        ((SYSTEM, priority("big", 500)), "big", ["sandboxes of big may displace pods"]),
        (
            (SYSTEM, priority("raysweep-control", 100_000)),
            None,
            ["pods of raysweep-control may displace sandboxes", "raysweep-control is of an earlier version"],
        ),
    ],
)
def test_priorities_that_displace_are_named(classes, chosen, warned):
    said = list(displaced(classes, chosen))
    assert len(said) == len(warned)
    assert all(line.startswith(start) for line, start in zip(said, warned, strict=True)), said


async def test_each_check_is_told_when_it_is_known(tmp_path, monkeypatch):
    """The API server answers the first check, then asks for rights that are not there: the doctor ends after both."""
    told = []
    version = {"gitVersion": "v1.33.0", "major": "1", "minor": "33"}

    def answer(request):
        return (200, version, {}) if request.path == "/version" else (403, status(403, "Forbidden"), {})

    async with serving(answer, tmp_path, monkeypatch):
        provider = KubernetesProvider(image="x", namespace="ns")
        provider.checked = lambda check: told.append(check.name)
        assert isinstance(provider, TellsChecks)
        checks = await run_checks(provider, Planned())
    assert told == [check.name for check in checks]
    assert told[0] == "cluster"
    assert len(told) > 1
