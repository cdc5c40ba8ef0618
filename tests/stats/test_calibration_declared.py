"""Declared against observed, proposals and the kill curve, on rows whose numbers are known."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
import scipy.stats as st

from raysweep.record.schema import to_table
from raysweep.stats import Design
from raysweep.stats.calibrate import calibrate
from raysweep.stats.findings.proposal import power_of_two

MIB = 1024**2
BANDS = {"1x": 1.0, "2x": 2.0, "uncapped": None}
DESIGN = Design("1x", tuple(BANDS), ("m",), ("all",), 1, replicates=500)


def row(task, band, k, *, anon=10, cache=None, cpu=500.0, cpu10=None, seconds=20.0, passed=True, spec=64, **more):
    """One final attempt of a task that declares `spec` MiB and one cpu."""
    mult = BANDS[band]
    block = f"{task}-{k}"
    made = {
        "block_id": block, "trial_id": f"{block}-{band}", "attempt_id": f"{block}-{band}-1",
        "attempt": 1, "block_run": 1,
        "task": task, "model": "m", "band": band, "bucket": "all", "occasion": "d", "outcome": "scored",
        "reward": float(passed), "oom_kills": 0, "t_agent_start": 0.0, "t_agent_end": seconds, "timed_out": False,
        "mem_anon_peak_bytes": int(anon * MIB), "mem_peak_bytes": int((anon if cache is None else cache) * MIB),
        "cpu_peak_1s": cpu, "cpu_peak_10s": cpu if cpu10 is None else cpu10,
        "request_memory_mult": 1.0, "request_memory_asked": spec * MIB, "request_cpu_mult": 1.0,
        "request_cpu_asked": 999 if mult == 1.0 else 1000,
    }  # fmt: skip
    if mult is not None:
        made |= {"limit_memory_mult": mult, "limit_memory_asked": int(spec * MIB * mult),
                 "limit_cpu_mult": mult, "limit_cpu_asked": int(1000 * mult)}  # fmt: skip
    return made | more


def run(rows, timeout=60.0):
    table = to_table(rows).append_column("is_final", pa.array([True] * len(rows)))
    planned = table.select(["block_id", "trial_id", "task", "model", "band", "bucket", "factors"])
    if timeout is not None:
        planned = planned.append_column("agent_timeout_s", pa.array([timeout] * len(rows)))
    return calibrate(table, planned, DESIGN)


def ledger(n=20, tasks=("a",), **given):
    """n blocks of every task, the same in each band; given: of the uncapped trials, by k."""
    rows = []
    for task in tasks:
        for k in range(n):
            own = {key: value(k) for key, value in given.items()}
            rows += [row(task, "1x", k), row(task, "2x", k), row(task, "uncapped", k, **own)]
    return rows


def find(findings, estimand, facet):
    found = [f for f in findings if (f.estimand, str(f.facet or "")) == (estimand, facet)]
    assert len(found) == 1, (estimand, facet, len(found))
    return found[0]


def proposed(calibration, task="a"):
    return {p.quantity: p for p in calibration.proposals if p.task == task}


def test_specs_are_asked_over_multiplier_and_the_plans_time_limit():
    found = run(ledger())
    for quantity, value in (("memory", 64 * MIB), ("cpu", 1000.0), ("agent_time", 60.0)):
        assert find(found.declared, f"declared_{quantity}", "task a").value == value


def test_quantiles_are_of_the_least_constrained_band_and_passing_and_failing_stand_apart():
    found = run(ledger(anon=lambda k: 10 + k, passed=lambda k: k < 10)).declared
    f = find(found, "mem_anon_peak", "quantile max of trials passing of task a")
    assert (f.value, f.arm, f.n_attempts) == (19 * MIB, "uncapped", 10)
    assert find(found, "mem_anon_peak", "quantile 0.5 of trials failing of task a").value == pytest.approx(24.5 * MIB)
    assert find(found, "mem_anon_peak_of_spec", "quantile max of trials all").value == pytest.approx(29 / 64)
    assert find(found, "mem_anon_peak_margin", "task a").value == pytest.approx(1 - 29 / 64)
    assert find(found, "mem_anon_peak_margin", "").value == pytest.approx(1 - 29 / 64)


def test_shares_cleared_have_their_exact_limits():
    f = find(run(ledger(anon=lambda k: 100 if k < 3 else 10)).declared, "mem_anon_peak_clears", "multiple 1")
    exact = st.binomtest(17, 20).proportion_ci(0.95, method="exact")
    assert (f.value, f.low, f.high) == pytest.approx((17 / 20, exact.low, exact.high))


def test_a_trial_that_was_cut_short_is_cleared_by_nothing():
    found = run(ledger(timed_out=lambda k: k < 2, seconds=lambda k: 60.0 if k < 2 else 10.0))
    assert find(found.declared, "agent_seconds_clears", "multiple 8").value == pytest.approx(18 / 20)
    margin = find(found.declared, "agent_seconds_margin", "task a")
    assert [w.code for w in margin.warnings] == ["cut_time"]


@pytest.mark.parametrize(("value", "power"), [(0, 0), (0.3, 0.5), (0.25, 0.25), (1, 1), (65, 128), (64, 64), (3, 4)])
def test_powers_of_two(value, power):
    assert power_of_two(value) == power


def test_a_spec_that_is_too_small_is_raised_to_a_power_of_two():
    by = proposed(run(ledger(anon=lambda k: 90 + k, cpu=lambda _: 1300.0, seconds=lambda _: 40.0)))
    assert (by["memory"].observed, by["memory"].proposed) == (109 * MIB, 128 * MIB)
    assert by["cpu"].proposed == 2000
    assert by["agent_time"].proposed == 128.0, "twice 40 s, rounded up"
    assert all(p.changes and p.reason.startswith("raised") for p in by.values())


def test_a_spec_that_holds_what_was_seen_is_kept_even_where_it_is_no_power_of_two():
    by = proposed(run(ledger(anon=lambda _: 40, spec=lambda _: 48), timeout=50.0))
    assert not by["memory"].changes
    assert not by["agent_time"].changes, "twice 20 s is 64 s rounded up, but 50 s hold it"


@pytest.mark.parametrize(("n", "lowered"), [(58, False), (59, True)])
def test_a_spec_is_lowered_only_by_many_trials(n, lowered):
    memory = proposed(run(ledger(n, anon=lambda _: 10)))["memory"]
    assert (memory.proposed, memory.changes) == ((16 * MIB, True) if lowered else (64 * MIB, False))
    assert ("59 needed" in memory.reason) is not lowered


def test_kills_under_a_limit_count_where_uncapped_peaks_were_missed():
    rows = ledger(anon=lambda _: 10)
    dead = {"outcome": "infra", "cause": "oom_limit", "cause_class": "resource", "reward": None, "oom_kills": 1}
    rows[1] |= dead  # one death at 2x: it needed more than 128 MiB, whatever the samples say
    assert proposed(run(rows))["memory"].proposed == 256 * MIB


def test_page_cache_beyond_the_proposal_is_said():
    memory = proposed(run(ledger(anon=lambda _: 90, cache=lambda _: 300)))["memory"]
    assert memory.proposed == 128 * MIB
    assert [w.code for w in memory.finding.warnings] == ["page_cache"]
    assert "300 MiB" in memory.finding.warnings[0].message


def test_a_time_limit_that_was_met_is_doubled_at_least():
    time = proposed(run(ledger(timed_out=lambda k: k == 0, seconds=lambda k: 60.0 if k == 0 else 5.0)))["agent_time"]
    assert time.proposed == 128.0


def test_short_trials_are_judged_by_one_second_of_cpu():
    short = proposed(run(ledger(seconds=lambda _: 2.0, cpu=lambda _: 3000.0, cpu10=lambda _: 600.0)))["cpu"]
    assert short.proposed == 4000
    long = proposed(run(ledger(seconds=lambda _: 30.0, cpu=lambda _: 3000.0, cpu10=lambda _: 600.0)))["cpu"]
    assert not long.changes


def test_a_plan_without_time_limits_is_unknown_and_said():
    found = run(ledger(), timeout=None)
    time = proposed(found)["agent_time"]
    assert (time.declared, time.proposed, time.changes) == (None, None, False)
    f = find(found.declared, "declared_agent_time", "task a")
    assert f.value is None
    assert "older plans" in f.warnings[0].message


def test_without_peaks_nothing_is_proposed_and_said():
    rows = [r | {"mem_anon_peak_bytes": None, "mem_peak_bytes": None} for r in ledger()]
    found = run(rows)
    assert proposed(found)["memory"].reason == "nothing observed"
    assert find(found.declared, "mem_peak_of_spec", "").warnings[0].code == "nothing_observed"
    assert {f.warnings[0].code for f in found.kill_curve if f.value is None} == {"no_traces"}


def test_verifier_peaks_count():
    rows = [r | {"verifier_mem_anon_peak_bytes": 100 * MIB} for r in ledger()]
    assert proposed(run(rows))["memory"].proposed == 128 * MIB


def test_the_kill_curve_beside_what_limits_killed():
    rows = ledger(100, anon=lambda k: 1.5 * 64 if k < 30 else 10, cache=lambda k: 3 * 64 if k < 40 else 20)
    dead = {"outcome": "infra", "cause": "oom_limit", "cause_class": "resource", "reward": None, "oom_kills": 1}
    for k in range(33):
        rows[3 * k] |= dead
    found = run(rows).kill_curve
    value = {(f.estimand, str(f.facet or "")): f.value for f in found}
    assert value["kill_curve_anon", "multiple 1"] == pytest.approx(0.30)
    assert value["kill_curve_peak", "multiple 1"] == pytest.approx(0.40)
    assert value["kill_curve_anon", "multiple 1.5"] == 0, "a peak at the limit is no kill"
    assert value["kills_measured", "multiple 1"] == pytest.approx(0.33)
    measured = find(found, "kills_measured", "multiple 1")
    assert not measured.warnings
    assert [w.code for w in find(found, "kill_curve_anon", "multiple 2").warnings] == ["estimate"]


def test_measured_kills_that_the_curve_did_not_foresee_are_said():
    rows = ledger(100)
    for k in range(50):
        rows[3 * k + 1] |= {"oom_kills": 1}
    f = find(run(rows).kill_curve, "kills_measured", "multiple 2")
    assert (f.value, f.warnings[0].code) == (0.5, "curve_disagrees")


def test_without_an_uncapped_arm_the_curve_ends_at_the_widest_limit():
    rows = [r for r in ledger() if r["band"] != "uncapped"]
    found = run(rows).kill_curve
    assert {str(f.facet) for f in found if f.estimand == "kill_curve_anon"} == {"multiple 1", "multiple 1.5"}
    assert "capped_traces" in [w.code for w in find(found, "kill_curve_anon", "multiple 1").warnings]


def test_no_number_is_nan():
    for f in run(ledger(3, tasks=("a", "b"), passed=lambda k: k == 0)).findings:
        assert all(v is None or math.isfinite(v) for v in (f.value, f.low, f.high))
