"""Checks, counts of what is missing, and descriptions: each number against one counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raysweep.stats import analyse
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.checks import run_checks
from raysweep.stats.findings.describe import describe
from raysweep.stats.findings.missing import missing
from raysweep.stats.findings.resources import Groups
from support import truth

PLAIN = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.6}, infra={("m", "1x"): 0.3})
LOST = truth.infra("node_lost", "platform")


def prepared(made, plan=None, stated=PLAIN):
    table = with_labels(truth.table(made))
    planned = with_labels(truth.planned(made if plan is None else plan))
    return table, planned, build_cube(table, planned, stated.design())


def checks(made, plan=None, stated=PLAIN):
    return {c.code: c for c in run_checks(*prepared(made, plan, stated), stated.design())}


def details(made, stated=PLAIN, **wanted):
    table, _, cube = prepared(made, None, stated)
    found = describe(table, cube, stated.design())
    return [f for f in found if all(getattr(f, k) == v for k, v in wanted.items())]


def edit(made, change, where):
    return [r | change if where(r) else r for r in made]


def test_a_whole_ledger_is_told_to_be_whole():
    found = checks(truth.rows(PLAIN))
    assert found["complete"].message == "all 40 trials ended with a result, in 20 complete blocks"
    assert not {"incomplete_blocks", "missing_results", "tasks_without_block", "moved", "crossed"} & set(found)


def test_missing_results_are_counted_by_arm_and_reason_and_bounded():
    made = truth.rows(PLAIN)
    threes = [r["trial_id"] for r in made if r["band"] == "3x"]
    made = edit(made, LOST, lambda r: r["trial_id"] in threes[:3])
    made = edit(made, {"outcome": "cancelled", "reward": None}, lambda r: r["trial_id"] == threes[3])
    kept = [r for r in made if r["trial_id"] != threes[4]]
    (m,) = missing(*prepared(kept, made)[::2])
    assert (m.arm.band, m.trials, m.count) == ("3x", 20, 5)
    assert dict(m.reasons) == {"node_lost": 3, "not run": 1, "cancelled": 1}
    assert next(iter(m.reasons)) == "node_lost"
    sums = {}
    for r in kept:
        if r["band"] == "3x":
            sums.setdefault(r["task"], []).append(r["reward"] if r["outcome"] == "scored" else None)
    sums = {t: [*v, *[None] * (2 - len(v))] for t, v in sums.items()}
    tasks = sorted({r["task"] for r in made})
    for end, seen in ((0.0, m.low), (1.0, m.high)):
        each = [np.mean([end if v is None else v for v in sums.get(t, [None, None])]) for t in tasks]
        assert seen == pytest.approx(np.mean(each))
    told = checks(kept, made)
    assert "m/3x 5 of 20 (node_lost 3, cancelled 1, not run 1), success" in told["missing_results"].message
    assert "5 of 20 started blocks lack a result in some arm" in told["incomplete_blocks"].message
    assert "39 of 40 planned trials have ended; 0 blocks were not started" in told["unfinished"].message
    shares = {str(f.facet): f.value for f in details(kept, estimand="missing")}
    assert shares["reason node_lost"] == pytest.approx(3 / 20)
    (bounds,) = details(kept, estimand="success_missing_bounds")
    assert (bounds.low, bounds.high) == (m.low, m.high)
    assert bounds.low <= bounds.value <= bounds.high


def test_rewards_outside_the_unit_have_no_bounds():
    made = edit(truth.rows(PLAIN), {"reward": 3.0}, lambda r: r["outcome"] == "scored")
    made[0] = made[0] | LOST
    (m,) = missing(*prepared(made)[::2])
    assert (m.low, m.high) == (None, None)
    assert m.count == 1
    assert not details(made, estimand="success_missing_bounds")


def test_tasks_without_a_complete_block_are_named():
    made = truth.rows(replace(PLAIN, tasks=8))
    bad = {f"task-{t:02d}" for t in range(7)}
    made = edit(made, LOST, lambda r: r["task"] in bad and r["band"] == "3x")
    told = checks(made)["tasks_without_block"].message
    assert "7 of 8 tasks" in told
    assert "task-00, task-01, task-02, task-03, task-04 and 2 more" in told
    assert checks(edit(made, LOST, lambda r: r["band"] == "3x")).keys() >= {"missing_arm"}


def test_an_arm_that_was_never_run_does_not_make_every_block_incomplete():
    made = truth.rows(PLAIN)
    told = checks([r for r in made if r["band"] == "1x"], made)
    assert "missing_arm" in told
    assert "incomplete_blocks" not in told
    assert "complete" not in told
    assert "missing_results" not in told


def test_blocks_that_were_not_started_are_counted():
    made = truth.rows(PLAIN)
    first = made[0]["block_id"]
    told = checks([r for r in made if r["block_id"] == first], made)
    assert told["unfinished"].message == "2 of 40 planned trials have ended; 19 blocks were not started"


def test_moved_and_crossed_blocks_are_told_apart():
    stated = replace(PLAIN, buckets=("a", "b"))
    made = truth.rows(stated)
    blocks = list(dict.fromkeys(r["block_id"] for r in made if r["bucket"] == "a"))
    made = edit(made, {"actual_bucket": "b"}, lambda r: r["block_id"] in blocks[:3])
    made = edit(made, {"actual_bucket": "b", "crossed_boundary": True},
                lambda r: r["block_id"] in blocks[3:5] and r["band"] == "3x")  # fmt: skip
    told = checks(made, stated=stated)
    assert told["moved"].message.startswith("3 of 40 blocks started wholly in another occasion")
    assert told["crossed"].message.startswith("2 of 40 blocks hold trials that started in different occasions")
    assert told["ended_outside"].message.startswith("2 trials ended in another window")
    assert {told[c].status for c in ("moved", "crossed", "ended_outside")} == {"note"}


def test_warnings_stand_first():
    found = run_checks(*prepared(edit(truth.rows(PLAIN), LOST, lambda r: r["repeat"] == 1)), PLAIN.design())
    ranks = [{"warning": 0, "note": 1, "ok": 2}[c.status] for c in found]
    assert ranks == sorted(ranks)
    assert len({c.code for c in found}) == len(found)


@pytest.mark.parametrize(
    ("change", "band", "code"),
    [
        ({"mem_anon_peak_bytes": 100 * truth.MIB}, "1x", "not_enforced"),
        ({"verifier_mem_anon_peak_bytes": 100 * truth.MIB}, "1x", "not_enforced"),
        ({"setup_mem_anon_peak_bytes": 100 * truth.MIB}, "1x", "not_enforced"),
        ({"mem_anon_peak_bytes": 65 * truth.MIB}, "1x", "enforced"),  # within 2 %
        ({"mem_anon_peak_bytes": None}, "1x", "enforced"),
        ({"limit_memory_admitted": None}, "1x", "enforced"),
        ({"limit_memory_admitted": None, "limit_memory_asked": None}, "1x", "odd_cause"),
        ({"throttled_us": 5}, "3x", "throttled"),
        ({"enforcement": {"memory": "none", "disk": "not enforced"}}, "3x", "memory_not_enforced"),
        ({"enforcement": {"memory": "none", "disk": "not enforced"}}, "3x", "disk_not_enforced"),
        ({"enforcement": None}, "3x", "enforced"),
    ],
)
def test_what_shows_whether_limits_were_real(change, band, code):
    assert code in checks(edit(truth.rows(PLAIN), change, lambda r: r["band"] == band))


def test_counts_of_kills_and_throttling():
    made = truth.rows(PLAIN)
    kills = sum(r["oom_kills"] for r in made)
    assert f"kill: {kills} of 40 trials" in checks(made)["enforced"].message
    some = edit(made, {"throttled_us": 7}, lambda r: r["band"] == "3x" and r["repeat"] == 1)
    assert checks(some)["throttled"].message.endswith(": m/3x 50 %")
    calm = checks(edit(made, {"oom_kills": 0, "outcome": "scored", "reward": 1.0, "cause": None}, lambda r: True))
    assert "the largest peak was 30Mi" in calm["untested"].message


@pytest.mark.parametrize("phase", ["setup", "verifier"])
def test_a_kill_in_any_phase_shows_that_limits_kill(phase):
    calm = edit(truth.rows(PLAIN), {"oom_kills": 0, "outcome": "scored", "reward": 1.0, "cause": None}, lambda r: True)
    killed = edit(calm, {f"{phase}_oom_kills": 1}, lambda r: r["band"] == "1x" and r["repeat"] == 1)
    assert "kill: 10 of 40 trials" in checks(killed)["enforced"].message


def with_columns(made):
    """Spec 64 MiB and 2 cpus; the uncapped band has neither limit, so that only other rows tell its spec."""
    timed = []
    for i, r in enumerate(made):
        limit = {"limit_memory_asked": 192 * truth.MIB, "limit_memory_mult": 3.0, "limit_cpu_asked": 4000,
                 "limit_cpu_mult": 2.0} if r["band"] == "1x" else {"limit_memory_asked": None}  # fmt: skip
        timed.append(
            r | limit | {"mem_anon_peak_bytes": (i + 1) * truth.MIB, "cpu_peak_1s": 1000.0, "t_queued": 90.0,
            "t_created": 92.0, "t_agent_start": 95.0, "t_agent_end": 105.0 + i, "t_verifier_end": 106.0 + i,
            "tokens_in": 10 * i if i else None, "api_p50_ms": 250.0, "api_429": i % 2, "cost_usd": 0.5,
            "throttled_us": 2_000_000}
        )  # fmt: skip
    return timed


def test_resources_against_spec_and_durations_by_phase():
    made = with_columns(truth.rows(replace(PLAIN, infra={})))
    found = {f.estimand: f for f in details(made, arm="3x", facet=None)}
    peaks = [r["mem_anon_peak_bytes"] for r in made if r["band"] == "3x"]
    assert found["mem_anon_peak"].value == np.median(peaks)
    assert found["mem_anon_peak_of_spec"].value == pytest.approx(np.median(peaks) / (64 * truth.MIB))
    assert found["cpu_peak_1s_of_spec"].value == pytest.approx(0.5)
    spans = ("queue_seconds", "setup_seconds", "verifier_seconds", "throttled_seconds")
    assert [found[n].value for n in spans] == [2.0, 3.0, 1.0, 2.0]
    assert found["agent_seconds"].value == np.median([r["t_agent_end"] - 95 for r in made if r["band"] == "3x"])
    assert found["agent_seconds"].n_attempts == 20
    assert (found["agent_seconds"].n_tasks, found["agent_seconds"].n_dates) == (10, 1)
    assert found["throttled_share"].value == 1.0
    assert found["api_429_share"].value == np.mean([r["api_429"] for r in made if r["band"] == "3x"])
    assert "mem_peak" in found
    assert "tokens_out" not in found
    (tokens,) = details(made, arm="1x", estimand="tokens_in", facet=None)
    assert tokens.n_attempts == 19  # the first one is unknown, not 0
    (tail,) = details(made, arm="3x", estimand="mem_anon_peak", facet=Facet(FacetKind.QUANTILE, 0.9))
    assert tail.value == pytest.approx(np.quantile(peaks, 0.9))


def test_every_estimand_of_an_analysis_is_defined():
    dates = tuple(f"2026-02-{d:02d}" for d in range(1, 15))
    stated = replace(PLAIN, tasks=4, buckets=("a", "b", "c", "d"), dates=dates, repeats=14)
    made = with_columns(truth.rows(stated))
    made[0] = made[0] | LOST
    design = stated.design(bucket_hours=(3.0, 9.0, 15.0, 21.0), replicates=500)
    analysis = analyse(truth.table(made), truth.planned(made), design=design)
    named = {f.estimand for f in (*analysis.findings, *analysis.details)}
    assert len(named) > 40
    assert named <= set(ESTIMANDS)


def test_superseded_attempts_are_not_described():
    made = with_columns(truth.rows(PLAIN))
    early = made[0] | {"is_final": False, "attempt_id": "x", "t_agent_end": 1e6, "outcome": "cancelled"}
    assert details([early, *made]) == details(made)


def test_composition_shares_add_up_in_each_arm():
    made = truth.rows(PLAIN)
    made = edit(made, {"reward": 0.5}, lambda r: r["outcome"] == "scored" and r["repeat"] == 2)
    found = details(made, arm="1x", estimand="composition")
    assert sum(f.value for f in found) == pytest.approx(1.0)
    died = sum(r["outcome"] == "infra" for r in made if r["band"] == "1x")
    assert {str(f.facet): f.value for f in found}["outcome oom_limit"] == died / 20
    names = [str(f.facet) for f in found]
    assert names.index("outcome partial") < names.index("outcome fail") < names.index("outcome oom_limit")


def test_groups_hold_the_finite_values_of_each_code():
    groups = Groups.of(np.array([1, -1, 0, 1, 2, 0]), 4)
    known = [k.tolist() for k in groups.known(np.array([1.0, 2.0, np.nan, 4.0, np.inf, 6.0]))]
    assert known == [[6.0], [1.0, 4.0], [], []]
    assert [len(k) for k in groups.known(np.full(6, np.nan))] == [0, 0, 0, 0]


def test_checks_read_tables_in_many_chunks():
    made = truth.rows(PLAIN)
    table, planned, cube = prepared(made)
    parts = pa.concat_tables([table.slice(i, 3) for i in range(0, len(table), 3)])
    assert run_checks(parts, planned, cube, PLAIN.design()) == run_checks(table, planned, cube, PLAIN.design())
    assert describe(parts, cube, PLAIN.design()) == describe(table, cube, PLAIN.design())
