"""What nodes told: company, classes, machines, limits above a node's room, clocks; each on trials made for it."""

import numpy as np
import pytest

from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.findings.checks import run_checks
from raysweep.stats.findings.mechanism import mechanism
from raysweep.stats.findings.placement import checks
from raysweep.units import GIB, MIB
from support import truth

STATED = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.6})
NODE = {
    "name": "n1", "qos_class": "Burstable", "machine_type": "n2-standard-4", "co_tenants": "0", "co_tenants_end": "0",
    "allocatable_cpu": "3920", "allocatable_memory": str(12 * GIB), "others_cpu_request": "400",
    "others_memory_request": str(GIB), "clock_offset_s": "0.01", "clock_offset_end_s": "-0.02",
    "image_digest": "sha256:1",
}  # fmt: skip
BOUNDS = {"limit_cpu_admitted": 1000, "limit_memory_admitted": 64 * MIB}


def prepared(change=lambda row: {}):
    made = [{**row, **BOUNDS, "node": NODE} for row in truth.rows(STATED)]
    made = [{**row, **(new := change(row)), "node": {**NODE, **new.get("node", {})}} for row in made]
    table, planned = with_labels(truth.table(made)), with_labels(truth.planned(made))
    return table, planned, build_cube(table, planned, STATED.design())


def found(change=lambda row: {}):
    table, planned, cube = prepared(change)
    told = {c.code: c for c in checks(table, cube)}
    assert set(told) <= {c.code for c in run_checks(table, planned, cube, STATED.design())}
    return told


def test_a_quiet_cluster_is_told_to_be_quiet():
    told = found()
    assert set(told) == {"shared_nodes"}
    assert told["shared_nodes"].status == "ok"


def test_machines_that_are_not_shared_by_design_are_left_alone():
    table, _, cube = prepared()
    other = truth.rows(STATED)
    assert list(checks(with_labels(truth.table(other)), cube)) == []
    assert list(checks(table.slice(0, 0), cube)) == []


def test_company_on_the_node_is_counted():
    told = found(lambda r: {"node": {"co_tenants_end": "3"}} if r["band"] == "3x" else {})
    assert told["shared_nodes"].status == "note"
    assert "50 % of trials shared their node with other sandboxes (at most 3)" in told["shared_nodes"].message
    assert "exclusive" in told["shared_nodes"].remedy


def test_arms_of_two_classes_are_not_to_be_contrasted():
    told = found(lambda r: {"node": {"qos_class": "Guaranteed"}} if r["band"] == "1x" else {})
    assert told["qos_classes"].status == "warning"
    assert "m/1x Guaranteed; m/3x Burstable" in told["qos_classes"].message


def test_kinds_of_machine_are_named():
    told = found(lambda r: {"node": {"machine_type": "e2-medium"}} if r["task"].endswith("1") else {})
    assert "2 kinds of machine: e2-medium, n2-standard-4" in told["machine_types"].message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"limit_cpu_admitted": 3600}, "unreachable_cpu"),
        ({"limit_memory_admitted": 12 * GIB}, "unreachable_memory"),
        ({"limit_memory_admitted": None, "limit_memory_asked": 12 * GIB}, "unreachable_memory"),
    ],
)
def test_a_limit_above_the_nodes_room_is_said_with_its_band(change, code):
    told = found(lambda r: change if r["band"] == "3x" else {})
    n = sum(r["band"] == "3x" for r in truth.rows(STATED))
    assert f"{n} trials (3x) had a finite" in told[code].message
    assert set(told) == {"shared_nodes", code}


def test_no_limit_is_above_nothing():
    none = dict.fromkeys(("limit_cpu_admitted", "limit_memory_admitted", "limit_cpu_asked", "limit_memory_asked"))
    assert set(found(lambda r: none)) == {"shared_nodes"}


@pytest.mark.parametrize("key", ["clock_offset_s", "clock_offset_end_s"])
def test_a_clock_that_is_off_is_flagged(key):
    told = found(lambda r: {"node": {key: "-2.5"}})
    assert told["clocks"].status == "warning"
    assert set(found(lambda r: {"node": {key: "1.9"}})) == {"shared_nodes"}


def test_an_image_whose_tag_moved_is_named_with_its_task():
    rows = truth.rows(STATED)
    task, bucket = rows[0]["task"], rows[0]["occasion"]
    later = {"node": {"image_digest": "sha256:2"}}
    told = found(lambda r: later if (r["task"], r["occasion"]) == (task, bucket) and r["band"] == "1x" else {})
    assert told["moved_images"].message == f"the image of 1 task changed during the sweep: {task}"
    assert set(found(lambda r: later)) == {"shared_nodes"}


def test_others_at_work_are_counted_by_the_name_of_a_clusters_node():
    table, _, cube = prepared()
    values = [f.value for f in mechanism(table, cube) if f.estimand == "cotenancy"]
    assert np.isfinite(values).all()
    assert values
