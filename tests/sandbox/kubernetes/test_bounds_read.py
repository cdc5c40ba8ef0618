"""Quantities as Kubernetes writes them, and differences between what was sent and what was admitted."""

import copy
from decimal import Decimal

import pytest

from raysweep.sandbox.kubernetes.bounds import (
    Bounds,
    actual,
    admitted,
    alterations,
    millicores,
    qos_class,
    quantity,
    resources_of,
    whole_bytes,
)
from raysweep.sandbox.kubernetes.pod import TASK, Binding, PodOptions, pod_manifest
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import GIB, MIB, Resources

SENT = pod_manifest(
    SandboxSpec("run-1", "t1-1", Resources(249, 64 * MIB, GIB), Resources(250, 64 * MIB, GIB)),
    PodOptions("sandboxes", "localhost/task:dev"),
    Binding("driver", "0" * 32, "raysweep-supervisor-x", 60),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"), ("250m", "0.25"), ("0.5", "0.5"), (".5", "0.5"), ("2", "2"), ("64Mi", str(64 * MIB)),
        ("1e3", "1000"), ("12E", "12e18"), ("1E3", "1000"), ("1Ei", str(2**60)), ("128974848", "128974848"),
        ("129e6", "129000000"), ("129M", "129000000"), ("128974848000m", "128974848"), ("100u", "0.0001"),
        ("5n", "5e-9"), ("1.5Gi", str(3 * 2**29)), ("-1", "-1"), (4, "4"),
    ],
)  # fmt: skip
def test_quantities(text, value):
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1gi", "1KiB", "none", "1e"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)


def test_fractions_round_up_as_in_kubernetes():
    assert (millicores("0.0001"), millicores("1500u"), millicores("0.25")) == (1, 2, 250)
    assert (whole_bytes("1m"), whole_bytes("1.5Ki")) == (1, 1536)
    assert resources_of({"cpu": "2", "memory": "1Gi", "pods": "10"}) == Resources(2000, GIB, None)
    assert resources_of(None) == Resources()


def changed(change):
    got = copy.deepcopy(SENT)
    change(got["spec"])
    return alterations(SENT, got)


def task(spec):
    return next(c for c in spec["containers"] if c["name"] == TASK)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: task(s)["resources"]["limits"].update(memory="1Gi"), "memory limit: sent 67108864, admitted 1Gi"),
        (lambda s: task(s)["resources"]["requests"].update(cpu="250m"), "task cpu request: sent 249m, admitted 250m"),
        (lambda s: task(s)["resources"]["limits"].pop("cpu"), "task cpu limit: sent 250m, admitted none"),
        (lambda s: task(s)["resources"].pop("limits"), "task memory limit: sent 67108864, admitted none"),
        (lambda s: task(s)["resources"]["limits"].update({"x/gpu": "1"}), "task x/gpu limit: sent none, admitted 1"),
        (lambda s: s["containers"].append({"name": "istio-proxy"}), "containers added by admission: istio-proxy"),
        (lambda s: s.update(initContainers=[{"name": "mesh"}]), "initContainers added by admission: mesh"),
        (lambda s: s["containers"].pop(1), "container keeper was removed"),
        (lambda s: task(s).update(image="mirror/task:dev"), "task.image: sent localhost/task:dev, admitted mirr"),
        (lambda s: task(s).update(command=["sh"]), "task.command"),
        (lambda s: s.update(runtimeClassName="gvisor"), "runtimeClassName: sent None, admitted gvisor"),
        (lambda s: s.update(resources={"limits": {"memory": "1Gi"}}), "resources: sent None"),
        (lambda s: s.update(hostPID=True), "hostPID"),
    ],
)  # fmt: skip
def test_every_alteration_is_named(change, says):
    assert any(says in line for line in changed(change)), changed(change)


def test_other_spellings_and_defaults_are_no_alteration():
    assert alterations(SENT, SENT) == []
    assert changed(lambda s: task(s)["resources"]["limits"].update(memory="64Mi", cpu="0.25")) == []
    assert changed(lambda s: s.update(schedulerName="default-scheduler", nodeName="a", tolerations=[{}])) == []


def test_actual_is_the_status_where_it_tells():
    pod = {"spec": SENT["spec"], "status": {"qosClass": "Burstable"}}
    asked = Bounds(Resources(249, 64 * MIB, GIB), Resources(250, 64 * MIB, GIB))
    assert admitted(pod) == actual(pod) == asked
    told = {"requests": {"cpu": "249m", "memory": "64Mi"}, "limits": {"cpu": "250m", "memory": "96Mi"}}
    pod["status"]["containerStatuses"] = [{"name": "keeper"}, {"name": TASK, "resources": told}]
    assert actual(pod).limit == Resources(250, 96 * MIB, GIB)
    assert admitted(pod) == asked
    assert (qos_class(pod), qos_class({})) == ("Burstable", None)
