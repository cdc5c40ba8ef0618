"""What is said of limits that were probed: measured figures, faults, and which arms may be called enforced."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from raysweep.record.probes import COLUMNS
from raysweep.record.schema import to_table
from raysweep.stats import analyse
from raysweep.stats.calibrate import NONE, calibrate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.findings.checks import run_checks
from raysweep.stats.findings.limits import (
    CONFIRMED,
    NO_LIMIT,
    NOT_ENFORCED,
    UNTESTED,
    band_limits,
    limit_status,
)
from raysweep.stats.findings.probes import PROBE, measure, probe_findings
from support import truth

MIB = truth.MIB
CALM = truth.Truth(success={("m", b): 0.5 for b in ("1x", "3x", "uncapped")})
"""No trial dies of its limit: nothing but probes can confirm one."""
LIMITS = {"1x": (64 * MIB, 250), "3x": (192 * MIB, 750), "uncapped": (None, None)}


def probe(band="1x", moment="before", t=1000.0, **changes):
    memory, cpu = LIMITS[band]
    row = {
        "run_id": "r", "probe_id": f"probe-{band}-{moment}-{t}", "bucket": "night", "occasion": "2026-02-05",
        "moment": moment, "band": band, "limit_memory_asked": memory, "limit_cpu_asked": cpu,
        "t_queued": t, "t_stopped": t + 5.0, "held_bytes": 240 * MIB, "held": True,
    }  # fmt: skip
    if memory is not None:
        row |= {
            "held_bytes": memory - 14 * MIB, "past_bytes": memory + 6 * MIB, "killed": True, "own_limit": True,
            "kill_s": 0.1, "kill_of": "process", "past_cause": "oom_limit", "oom_kills": 1,
            "cpu_used_s": 3.0 * cpu / 1000, "cpu_wall_s": 3.0, "nr_throttled": 30,
        }  # fmt: skip
    return row | changes


def probes(**of_1x):
    """A round before and one after; the first probe of 1x with changes."""
    made = [probe(b, m, 1000.0 if m == "before" else 5000.0) for m in ("before", "after") for b in LIMITS]
    return to_table([made[0] | of_1x, *made[1:]], COLUMNS)


def of(table, band):
    return measure(table)[band]


def codes(table, band="1x"):
    return [c.code for c in of(table, band).faults()]


def status(table, band, made=None):
    rows = truth.rows(CALM) if made is None else made
    labelled = with_labels(truth.table(rows))
    planned = with_labels(truth.planned(rows))
    cube = build_cube(labelled, planned, CALM.design())
    limits = band_limits(multiplied(labelled), multiplied(planned), tuple(LIMITS))
    final = labelled.filter(labelled["is_final"])
    return limit_status(final, cube, band, limits[band], measure(table).get(band))


def multiplied(table):
    """With the multipliers of 1x, 3x and uncapped."""
    given = {"1x": 1.0, "3x": 3.0, "uncapped": None}
    for side in ("limit", "request"):
        for resource in ("memory", "cpu"):
            values = [given[b] if side == "limit" else 1.0 for b in table["band"].to_pylist()]
            name = f"{side}_{resource}_mult"
            table = table.drop_columns([name]) if name in table.column_names else table
            table = table.append_column(name, pa.array(values, pa.float64()))
    return table


def test_limits_that_hold_have_no_fault_and_are_confirmed():
    table = probes()
    assert [codes(table, b) for b in LIMITS] == [[], [], []]
    assert (status(table, "1x"), status(table, "3x"), status(table, "uncapped")) == (
        (CONFIRMED, ()), (CONFIRMED, ()), (NO_LIMIT, ()),
    )  # fmt: skip


def test_without_probes_or_kills_nothing_is_confirmed():
    found, (caution,) = status(None, "1x")
    assert found == UNTESTED
    assert "no trial was killed" in caution.message
    failed = to_table([probe("1x", platform="scheduling", killed=None, own_limit=None, held=None)], COLUMNS)
    assert status(failed, "1x")[0] == UNTESTED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"killed": False, "own_limit": None, "kill_s": None, "kill_of": None}, "probe_past_lived"),
        ({"cpu_used_s": 1.16 * 0.75}, "probe_cpu_over"),
        ({"held": False, "held_cause": "oom_limit"}, "probe_died_below"),
    ],
)
def test_one_probe_that_shows_a_limit_does_not_hold_is_enough(change, code):
    table = probes(**change)
    assert codes(table) == [code]
    found, (caution,) = status(table, "1x")
    assert (found, caution.code) == (NOT_ENFORCED, code)
    assert caution.message.startswith("1x: 1 of 2 probes")
    assert status(table, "3x")[0] == CONFIRMED


def test_kills_of_trials_do_not_outweigh_a_probe_that_lived():
    dying = replace(CALM, infra={("m", "1x"): 0.5})
    assert status(None, "1x", truth.rows(dying))[0] == CONFIRMED
    assert status(probes(killed=False, own_limit=None), "1x", truth.rows(dying))[0] == NOT_ENFORCED


def test_less_cpu_than_the_limit_is_no_fault_and_no_proof_without_throttling():
    busy = of(probes(cpu_used_s=0.2, nr_throttled=0), "1x")
    assert busy.faults() == ()
    assert busy.cpu_confirmed, "the second probe was throttled"
    assert not of(to_table([probe(cpu_used_s=0.2, nr_throttled=0)], COLUMNS), "1x").cpu_confirmed
    assert codes(probes(cpu_used_s=1.14 * 0.75)) == []


def test_a_kill_without_proof_confirms_nothing():
    table = to_table([probe(own_limit=False, past_cause="oom_node")], COLUMNS)
    assert codes(table) == []
    assert not of(table, "1x").memory_confirmed
    assert status(table, "1x")[0] == UNTESTED


def test_a_death_below_the_limit_that_was_not_the_limits_is_no_fault_of_a_finite_band_but_one_of_uncapped():
    assert codes(probes(held=False, held_cause="oom_node")) == []
    dead = to_table([probe("uncapped", held=False, held_cause="oom_node")], COLUMNS)
    assert codes(dead, "uncapped") == ["probe_uncapped_died"]
    assert status(dead, "uncapped")[0] == NOT_ENFORCED


def test_a_band_that_limits_cpu_only_is_confirmed_by_its_quota():
    only = {"limit_memory_asked": None, "killed": None, "own_limit": None, "kill_s": None, "past_bytes": None}
    assert of(to_table([probe(**only)], COLUMNS), "1x").cpu_confirmed


def test_failed_probes_are_counted_and_say_nothing():
    table = probes(platform="scheduling", held=None, killed=None, own_limit=None, cpu_used_s=None)
    m = of(table, "1x")
    assert (len(m.rows), dict(m.failed)) == (1, {"scheduling": 1})
    found = {c.code: c for c in checks(table)}
    assert found["probes_failed"].status == "note"
    assert "scheduling 1" in found["probes_failed"].message


def checks(table, made=None):
    rows = truth.rows(CALM) if made is None else made
    labelled, planned = with_labels(truth.table(rows)), with_labels(truth.planned(rows))
    return run_checks(labelled, planned, build_cube(labelled, planned, CALM.design()), CALM.design(), measure(table))


def test_the_check_says_what_was_measured_and_when():
    slow = probes(kill_s=0.3, cpu_used_s=0.6)
    (line,) = (c for c in checks(slow) if c.code == "probes")
    assert line.status == "ok"
    assert "before and after the trials (night of 2026-02-05; 1970-01-01 00:16 to 1970-01-01 01:23 UTC)" in line.message
    assert (
        "1x: 50Mi lived in 2 of 2, 70Mi killed by the limit in 2 of 2 within 0.1 s to 0.3 s (process),"
        " cpu 0.2 to 0.25 of 0.25 in 2" in line.message
    )
    assert "uncapped: 240Mi lived in 2 of 2" in line.message
    assert "untested" not in {c.code for c in checks(slow)}
    assert "untested" in {c.code for c in checks(None)}


def test_a_band_that_is_not_enforced_is_not_called_so():
    dying = truth.rows(replace(CALM, infra={("m", "1x"): 0.5}))
    broken = checks(probes(killed=False, own_limit=None), dying)
    found = {c.code: c for c in broken}
    assert "enforced" not in found
    assert found["probe_past_lived"].status == "warning"
    assert "1x" not in found["probes"].message
    assert "enforced" in {c.code for c in checks(probes(), dying)}


def test_findings_hold_the_figures_and_every_one_is_defined():
    found = list(probe_findings(measure(probes(kill_s=0.3, cpu_used_s=0.6))))
    by = {(f.arm, f.estimand): f for f in found}
    assert {f.estimand for f in found} <= set(ESTIMANDS)
    assert {f.facet for f in found} == {PROBE}
    kill, cpu = by["1x", "probe_kill_seconds"], by["1x", "probe_cpu_of_limit"]
    assert (kill.value, kill.low, kill.high, kill.n_attempts) == (pytest.approx(0.2), 0.1, 0.3, 2)
    assert (cpu.low, cpu.high) == (pytest.approx(0.8), pytest.approx(1.0))
    assert by["uncapped", "probe_uncapped_held"].value == 1.0
    assert by["3x", "probe_memory_killed"].value == 1.0
    assert {e for b, e in by if b == "uncapped"} == {"probe_uncapped_held"}


def analysed(table):
    rows = truth.rows(CALM)
    return analyse(truth.table(rows), truth.planned(rows), design=CALM.design(replicates=200), probes=table)


def test_the_verdict_refuses_what_was_not_enforced_and_marks_its_contrasts():
    sound, broken = analysed(probes()), analysed(probes(killed=False, own_limit=None))
    assert not any(s.startswith("Not enforced") for s in sound.verdict)
    assert broken.verdict[0].startswith("Not enforced: 1x: 1 of 2 probes held 70Mi past a memory limit of 64Mi")
    marked = [f for f in broken.findings if "probe_past_lived" in {w.code for w in f.warnings}]
    assert marked
    assert all("1x" in (f.arm, f.reference) for f in marked)
    assert not any("probe_past_lived" in {w.code for w in f.warnings} for f in sound.findings)


def test_values_do_not_depend_on_probes():
    with_probes, without = analysed(probes()), analysed(None)
    assert with_probes.findings == without.findings
    assert with_probes.details[: len(without.details)] == without.details


def test_calibration_does_not_judge_ceilings_over_a_floor_that_is_not_enforced():
    rows = truth.rows(CALM)
    table, planned = multiplied(truth.table(rows)), multiplied(truth.planned(rows))
    design = CALM.design(replicates=200)
    sound = calibrate(table, planned, design, probes=probes())
    assert [c.enforcement for c in sound.ladders[0].ceilings] == [CONFIRMED, NO_LIMIT]
    broken = calibrate(table, planned, design, probes=probes(cpu_used_s=2.0))
    assert broken.status == NONE
    assert {c.verdict for c in broken.ladders[0].ceilings} == {NOT_ENFORCED}
    assert broken.ladders[0].ceilings[0].cautions[0].code == "probe_cpu_over"
