"""The pod of an attempt as a value: every bound explicit, nothing that the arm did not ask for, hardened, named."""

import json
import re
from base64 import b64decode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.sandbox.kubernetes.bounds import Bounds, admitted, alterations, quantity
from raysweep.sandbox.kubernetes.pod import (
    KEEPER,
    TASK,
    Binding,
    Owner,
    PodOptions,
    label_value,
    pod_manifest,
    pod_name,
    supervisor_config_map,
)
from raysweep.sandbox.kubernetes.profiles import PACKAGE_INSTALL
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.sandbox.supervised.frames import digest_of, keeper_proof
from raysweep.units import GIB, MIB, Resources

OPTIONS = PodOptions(namespace="sandboxes", image="localhost/task:dev")
BINDING = Binding(runner="driver", token="0" * 32, config_map="raysweep-supervisor-x", deadline_s=100.2)
SPEC = SandboxSpec(
    "run-0123456789ab", "t0123456789ab-1", Resources(249, 64 * MIB, GIB), Resources(250, 64 * MIB, 2 * GIB),
    labels={"task": "sort lines: 16 MB", "band": "1x"},
)  # fmt: skip


def manifest(request=SPEC.request, limit=SPEC.limit, options=OPTIONS, **binding):
    return pod_manifest(replace(SPEC, request=request, limit=limit), options, replace(BINDING, **binding))


def container(pod, name):
    return next(c for c in pod["spec"]["containers"] if c["name"] == name)


@pytest.mark.parametrize(
    ("request_", "limit", "requests", "limits"),
    [
        pytest.param(
            Resources(249, 64 * MIB, GIB), Resources(250, 64 * MIB, GIB),
            {"cpu": "249m", "memory": "67108864", "ephemeral-storage": "1073741824"},
            {"cpu": "250m", "memory": "67108864", "ephemeral-storage": "1073741824"},
            id="1x",
        ),
        pytest.param(
            Resources(250, 64 * MIB), Resources(None, None), {"cpu": "250m", "memory": "67108864"}, None, id="uncapped"
        ),
        pytest.param(
            Resources(250, 64 * MIB, GIB), Resources(250, 320 * MIB, None),
            {"cpu": "250m", "memory": "67108864", "ephemeral-storage": "1073741824"},
            {"cpu": "250m", "memory": "335544320"},
            id="memory-only",
        ),
        pytest.param(
            Resources(None, None, None), Resources(250, 64 * MIB, GIB),
            {"cpu": "0", "memory": "0", "ephemeral-storage": "0"},
            {"cpu": "250m", "memory": "67108864", "ephemeral-storage": "1073741824"},
            id="a request never becomes the limit",
        ),
        pytest.param(Resources(), Resources(), None, None, id="nothing at all"),
    ],
)  # fmt: skip
def test_the_task_gets_exactly_the_arm(request_, limit, requests, limits):
    resources = container(manifest(request_, limit), TASK)["resources"]
    assert resources == {k: v for k, v in (("requests", requests), ("limits", limits)) if v is not None}


AMOUNTS = st.one_of(st.none(), st.integers(1, 2**45))


@given(st.lists(AMOUNTS, min_size=6, max_size=6))
def test_what_is_sent_reads_back_as_what_was_asked(amounts):
    request, limit = Resources(*amounts[:3]), Resources(*amounts[3:])
    spelt = Resources(
        *(0 if r is None and most is not None else r for r, most in zip(amounts[:3], amounts[3:], strict=True))
    )
    pod = manifest(request, limit)
    assert admitted(pod) == Bounds(spelt, limit)
    assert alterations(pod, pod) == []


@pytest.mark.parametrize("storage", [None, 2 * GIB])
@pytest.mark.parametrize(("qos", "cpu"), [("uniform", ("1m", None)), ("native", ("10m", "10m"))])
def test_the_keeper_is_the_same_in_every_arm(qos, cpu, storage):
    options = replace(OPTIONS, qos=qos)
    bands = [Resources(250, 64 * MIB, storage), Resources(750, 192 * MIB, storage), Resources(None, None, storage)]
    first, *rest = (container(manifest(SPEC.request, limit, options), KEEPER) for limit in bands)
    assert all(one == first for one in rest)
    requests, limits = first["resources"]["requests"], first["resources"]["limits"]
    assert (requests["cpu"], limits.get("cpu")) == cpu
    assert requests["memory"] == limits["memory"] == str(32 * MIB)
    # Without a limit of the task's the keeper's own would be the whole pod's.
    assert ("ephemeral-storage" in limits) == (storage is not None)
    assert quantity(requests.get("ephemeral-storage", 0)) == 0


@pytest.mark.parametrize("storage", [None, GIB])
def test_native_qos_can_be_guaranteed_and_uniform_never_is(storage):
    equal = Resources(250, 64 * MIB, storage)

    def guaranteed(pod):
        sides = [(c["resources"]["requests"], c["resources"].get("limits", {})) for c in pod["spec"]["containers"]]
        return all(r[k] == li.get(k) for r, li in sides for k in ("cpu", "memory"))

    assert guaranteed(manifest(equal, equal, replace(OPTIONS, qos="native")))
    assert not guaranteed(manifest(replace(equal, cpu=249), equal))
    assert not guaranteed(manifest(equal, equal))


def test_both_containers_run_the_supervisor_that_nobody_can_change():
    pod = manifest()
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["supervisor"]["configMap"] == {
        "name": "raysweep-supervisor-x", "defaultMode": 0o555, "items": [{"key": "amd64", "path": "supervisor"}]
    }  # fmt: skip
    token = "0" * 32
    words = {
        TASK: ("spool", ["init", "task", "/.raysweep-spool", digest_of(token), "keeper"]),
        KEEPER: ("kept", ["keep", "keeper", digest_of(keeper_proof(token)), "/.raysweep-kept"]),
    }
    for name, (volume, command) in words.items():
        assert volumes[volume] == {"name": volume, "emptyDir": {}}
        one = container(pod, name)
        assert one["command"] == ["/.raysweep/supervisor", *command]
        assert {m["name"]: m.get("readOnly", False) for m in one["volumeMounts"]} == {"supervisor": True, volume: False}
        assert all(m["mountPath"].count("/") == 1 for m in one["volumeMounts"]), "a folder above a mount can be renamed"
        assert "workingDir" not in one
        assert "env" not in one
    assert token not in json.dumps(pod)
    arm = manifest(options=replace(OPTIONS, node_selector={"kubernetes.io/arch": "arm64", "pool": "a"}))
    assert arm["spec"]["volumes"][0]["configMap"]["items"] == [{"key": "arm64", "path": "supervisor"}]
    assert arm["spec"]["nodeSelector"] == {"kubernetes.io/arch": "arm64", "pool": "a"}


@pytest.mark.parametrize(("profile", "added"), [("package-install", list(PACKAGE_INSTALL)), ("strict", None)])
def test_hardening_is_the_same_whatever_the_band(profile, added):
    options = replace(OPTIONS, capabilities=profile)
    pods = [manifest(limit=limit, options=options) for limit in (SPEC.limit, Resources())]
    for pod in pods:
        spec = pod["spec"]
        assert not spec["automountServiceAccountToken"]
        assert not spec["enableServiceLinks"]
        assert not spec["shareProcessNamespace"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["restartPolicy"] == "Never"
        assert spec["activeDeadlineSeconds"] == 101
        assert 0 < spec["terminationGracePeriodSeconds"] <= 30
        for name, want in ((TASK, added), (KEEPER, None)):
            context = container(pod, name)["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert (context["runAsUser"], context["runAsGroup"]) == (0, 0), "whatever the image's USER is"
            assert context["capabilities"].get("add") == want
            assert context["capabilities"]["drop"] == ["ALL"]


def test_places_are_taken_from_the_config_and_left_out_where_it_is_silent():
    spec = manifest()["spec"]
    silent = {"affinity", "runtimeClassName", "priorityClassName", "tolerations", "imagePullSecrets"}
    assert not silent & set(spec)
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    options = replace(
        OPTIONS,
        runtime_class="gvisor",
        tolerations=({"key": "pool", "operator": "Exists", "value": None, "effect": "NoSchedule"},),
        pull_secrets=("registry",),
        priority_class="sandboxes",
        pull="never",
        tenancy="exclusive",
    )
    pod = manifest(options=options)
    spec = pod["spec"]
    assert spec["runtimeClassName"] == "gvisor"
    assert spec["priorityClassName"] == "sandboxes"
    assert spec["tolerations"] == [{"key": "pool", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert container(pod, TASK)["imagePullPolicy"] == "Never"
    (term,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = term["labelSelector"]["matchExpressions"]
    assert (term["topologyKey"], expression["operator"]) == ("kubernetes.io/hostname", "Exists")
    assert expression["key"] in pod["metadata"]["labels"]  # it keeps its like away


def test_the_image_of_the_task_goes_before_that_of_the_config():
    pod = pod_manifest(replace(SPEC, image="registry.example/task@sha256:0"), OPTIONS, BINDING)
    assert {c["image"] for c in pod["spec"]["containers"]} == {"registry.example/task@sha256:0"}
    assert {c["image"] for c in manifest()["spec"]["containers"]} == {"localhost/task:dev"}


def test_labels_annotations_and_owner():
    metadata = manifest(owner=Owner("raysweep-run-1", "uid-1"))["metadata"]
    assert metadata["name"] == "rs-0123456789ab-t0123456789ab-1"
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "raysweep",
        "raysweep.dev/run": "run-0123456789ab",
        "raysweep.dev/attempt": "t0123456789ab-1",
        "raysweep.dev/runner": "driver",
        "raysweep.dev/network": "none",
    }
    assert metadata["annotations"] == {"raysweep.dev/task": "sort lines: 16 MB", "raysweep.dev/band": "1x"}
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Lease", "raysweep-run-1", "uid-1")
    assert "ownerReferences" not in manifest()["metadata"]
    open_pod = pod_manifest(replace(SPEC, network=True), OPTIONS, BINDING)
    assert open_pod["metadata"]["labels"]["raysweep.dev/network"] == "open"


@given(st.text(max_size=90), st.text(max_size=90))
def test_names_and_labels_are_always_valid_and_never_two_in_one(one, other):
    names = [pod_name("run-0123456789ab", text) for text in (one, other)]
    for name in names:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    values = [label_value(text) for text in (one, other)]
    for value in values:
        assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value)
    assert (names[0] == names[1]) == (values[0] == values[1]) == (one == other)


def test_the_supervisors_config_map_is_named_by_what_it_holds():
    binaries = {"amd64": b"\x7fELF\x00a", "arm64": b"\x7fELF\x00b"}
    first = supervisor_config_map("sandboxes", binaries)
    assert {arch: b64decode(text) for arch, text in first["binaryData"].items()} == binaries
    assert first["immutable"] is True
    assert first == supervisor_config_map("sandboxes", dict(reversed(binaries.items())))
    other = supervisor_config_map("sandboxes", {**binaries, "arm64": b"\x7fELF\x00c"})
    assert other["metadata"]["name"] != first["metadata"]["name"]
