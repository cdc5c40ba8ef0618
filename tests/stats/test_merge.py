"""Several runs as one: what equals the analysis of a whole, what is kept apart, what is refused and what is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raysweep.errors import InputError
from raysweep.stats import analyse
from raysweep.stats.calibrate import calibrate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.design import Swept
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.many import analyse_runs, dates_of, nodes_of
from raysweep.stats.merge import merge
from support.merging import part, run, tables, truth

BUCKETS = ("night", "morning", "day", "evening")


def whole_of(one):
    return analyse(one.view.table, one.view.planned, design=one.design, probes=one.view.probes)


def key(f):
    return (f.estimand, f.model, f.arm, f.reference, f.bucket, f.facet, f.unit, f.resampled_over)


def numbers(f):
    return (f.value, f.low, f.high, f.n_tasks, f.n_attempts, f.registered)


def find(analysis, **wanted):
    found = [f for f in analysis.findings if all(getattr(f, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0]


CONTRAST = {"estimand": "success", "arm": "3x", "reference": "1x", "bucket": None, "facet": None}


def codes(analysis):
    return {c.code for c in analysis.checks}


def message(analysis, code):
    return next(c.message for c in analysis.checks if c.code == code)


def same(a, b):
    return a == b or (a is not None and b is not None and a == pytest.approx(b, abs=1e-9))


def test_halves_by_model_say_of_each_model_what_the_whole_run_says():
    """Point estimates, intervals from the same draws, registration: all findings about one model, in order."""
    drawn = tables(truth(("m", 0.4), ("k", 0.6), buckets=BUCKETS, repeats=1), seed=3)
    merged = merge([part("a", drawn, "model", "m"), part("b", drawn, "model", "k", created=1.0)])
    whole, both = whole_of(run("whole", *drawn)), analyse_runs(merged)
    for kind in ("findings", "details"):
        expected = [f for f in getattr(whole, kind) if f.model is not None and not f.is_of(FacetKind.DATE)]
        found = {key(f): f for f in getattr(both, kind)}
        assert len(expected) > 40
        for f in expected:
            assert all(map(same, numbers(found[key(f)]), numbers(f))), f
    assert find(both, model="m", resampled_over="tasks", **CONTRAST).registered
    assert [s for s in whole.verdict if s.startswith("m: ")] == [s for s in both.verdict if s.startswith("m: ")]
    assert merged.replicated == ()
    assert both.runs == ("run-a", "run-b")
    assert [(m.name, m.models, len(m.dates)) for m in both.members] == [("a", ("m",), 3), ("b", ("k",), 3)]


def test_time_of_day_over_models_of_different_runs_takes_dates_within_runs():
    """A model that is 40 points better in a run of its own is no spread between dates."""
    drawn = tables(truth(("m", 0.2), ("k", 0.6), buckets=BUCKETS, repeats=1, dates=5, date_sd=0.0), seed=4)
    whole = whole_of(run("whole", *drawn))
    both = analyse_runs(merge([part("a", drawn, "model", "m"), part("b", drawn, "model", "k", created=1.0)]))
    for f in (find(whole, estimand="time_of_day"), find(both, estimand="time_of_day")):
        assert f.low is not None
    assert find(both, estimand="time_of_day").n_dates == 10
    assert find(both, estimand="date_sd").value < 5, "not the 20 points of two levels 40 points apart"
    assert find(both, estimand="time_of_day").value == pytest.approx(find(whole, estimand="time_of_day").value, abs=2)


def test_halves_by_date_of_one_model_equal_the_whole_and_claim_no_more():
    """Dates of different runs add up; what runs differ in is never taken out of the spread of dates."""
    drawn = tables(truth(("m", 0.4), buckets=BUCKETS, repeats=1, dates=6, date_sd=0.05), seed=5)
    days = sorted(drawn[0]["occasion"].unique().to_pylist())
    halves = [part("a", drawn, "occasion", *days[:3]), part("b", drawn, "occasion", *days[3:], created=1.0)]
    merged = merge(halves)
    whole, both = whole_of(run("whole", *drawn)), analyse_runs(merged)
    for over in ("tasks", "tasks fixed", "dates", "tasks and dates"):
        mine, its = (find(x, resampled_over=over, **CONTRAST) for x in (both, whole))
        assert all(map(same, numbers(mine)[:5], numbers(its)[:5])), over
        assert "runs_pooled" in {w.code for w in mine.warnings}
        assert not mine.registered, "nobody registered to pool the two"
    mine, its = (find(x, estimand="time_of_day") for x in (both, whole))
    assert (mine.value, mine.n_dates) == pytest.approx((its.value, its.n_dates), abs=1.0)
    assert "F(3, 12)" in mine.method, "4 buckets, 6 dates in 2 runs: (4 - 1) x (6 - 2) degrees of freedom"
    assert "F(3, 15)" in its.method
    single = whole_of(halves[0])
    assert find(both, resampled_over="dates", **CONTRAST).n_dates == 2 * single.findings[0].n_dates
    for name, half in zip("ab", halves, strict=True):
        mine = find(both, resampled_over="tasks", **CONTRAST | {"facet": Facet(FacetKind.RUN, name)})
        assert all(map(same, numbers(mine), numbers(find(whole_of(half), resampled_over="tasks", **CONTRAST))))
        assert mine.registered


def test_calibration_of_halves_by_date_is_that_of_the_whole():
    drawn = tables(truth(("m", 0.4), dates=4), seed=11)
    days = sorted(drawn[0]["occasion"].unique().to_pylist())
    halves = [part(n, drawn, "occasion", *d, created=i) for i, (n, d) in enumerate((("a", days[:2]), ("b", days[2:])))]
    merged = merge(halves)
    both, whole = (
        calibrate(d.table, d.planned, design, probes=d.probes)
        for d, design in ((merged, merged.design), (run("whole", *drawn).view, run("whole", *drawn).design))
    )
    assert both.status == whole.status
    for one, other in zip(both.findings, whole.findings, strict=True):
        assert key(one) == key(other)
        assert all(map(same, numbers(one)[:5], numbers(other)[:5])), one


def test_two_runs_of_a_model_claim_nothing_of_other_runs_and_three_do():
    stated = truth(("m", 0.4), repeats=3, concentration=math.inf)
    runs = [run(n, *tables(stated, seed=i), created=float(i), seed=i) for i, n in enumerate("abc")]
    two, three = analyse_runs(merge(runs[:2])), analyse_runs(merge(runs))
    only = find(two, resampled_over="runs", **CONTRAST)
    assert (only.low, only.high) == (None, None)
    assert [w.code for w in only.warnings] == ["few_runs"]
    assert not [f for f in two.findings if f.resampled_over == "tasks and runs"]
    assert "few_runs" in codes(two)
    (said,) = [s for s in two.verdict if "run by run" in s]
    assert "points in a, " in said
    assert "2 runs cannot tell how much another cluster or installation would differ (exploratory)." in said
    wide = find(three, resampled_over="tasks and runs", **CONTRAST)
    assert wide.low < wide.value < wide.high
    tasks = find(three, resampled_over="tasks", **CONTRAST)
    assert wide.high - wide.low > 0.95 * (tasks.high - tasks.low), "never surer of other runs than of these"
    assert "few_runs" not in codes(three)
    assert any("for other tasks in other such runs 95 %" in s for s in three.verdict)
    spread = find(three, estimand="run_sd")
    assert spread.low == 0
    assert spread.method.startswith("modified large sample")


def test_names_dates_and_repeats_are_kept_apart():
    drawn = tables(truth(("m", 0.4)), seed=6)
    merged = merge([run("a", *drawn), run("b", *drawn, created=1.0)])
    rows = len(drawn[0])
    for table in (merged.table, merged.planned):
        assert len(table) == 2 * rows
        assert len(table["trial_id"].unique()) == 2 * rows
        cells = table.group_by(["task", "model", "band", "bucket", "repeat"]).aggregate([("trial_id", "count")])
        assert set(cells["trial_id_count"].to_pylist()) == {1}, "each repeat once"
        assert sorted(table["repeat"].unique().to_pylist()) == list(range(1, 13))
    cube = build_cube(with_labels(merged.table), with_labels(merged.planned), merged.design)
    assert (len(cube.dates), cube.runs, cube.not_started) == (6, ("a", "b"), 0)
    assert {d[:10] for d in cube.dates} == set(drawn[0]["occasion"].unique().to_pylist())
    assert np.array_equal(cube.run_of_date[cube.date], cube.run)


def test_the_order_of_the_runs_changes_nothing():
    runs = [run(n, *tables(truth(("m", 0.4)), seed=i), created=float(i)) for i, n in enumerate("ab")]
    one, two = (analyse_runs(merge(order)) for order in (runs, runs[::-1]))
    assert (one.findings, one.checks, one.verdict) == (two.findings, two.checks, two.verdict)


def test_tasks_of_one_run_only_are_left_out_and_said():
    big, small = truth(("m", 0.4), tasks=24), truth(("m", 0.4), tasks=21)
    merged = merge([run("a", *tables(big, 1)), run("b", *tables(small, 2), created=1.0)])
    assert list(merged.left_out) == ["task-021", "task-022", "task-023"]
    both = analyse_runs(merged)
    assert len(both.tasks) == 21
    assert message(both, "tasks_left_out").startswith(
        "3 tasks are not in every run and are left out: task-021 (only in a)"
    )
    assert not any(f.registered for f in both.findings)
    assert find(both, resampled_over="tasks", **CONTRAST).n_tasks == 21


def test_runs_that_repeat_each_other_are_no_new_data():
    drawn = tables(truth(("m", 0.4)), seed=7)
    twice = analyse_runs(merge([run("a", *drawn), run("b", *drawn, created=1.0)]))
    assert "the second adds nothing new" in message(twice, "repeated_outcomes")
    other = tables(truth(("m", 0.4)), seed=8)
    new = analyse_runs(merge([run("a", *drawn), run("b", *other, created=1.0)]))
    assert "repeated_outcomes" not in codes(new)
    assert "share the seed 20260205" in message(new, "same_seed")
    assert {"repeated_outcomes", "same_seed"}.isdisjoint(
        codes(analyse_runs(merge([run("a", *drawn), run("b", *other, created=1.0, seed=2)])))
    )


def test_checks_and_looks_are_told_run_by_run_and_missing_cells_come_from_every_plan():
    table, planned = tables(truth(("m", 0.4)), seed=9)
    first = table["occasion"][0].as_py()
    started = table.filter(pc.equal(table["occasion"], first))
    both = analyse_runs(merge([run("a", table, planned), run("b", started, planned, created=1.0, seed=2)]))
    assert message(both, "peek").startswith("b: the sweep is not finished (1 of 3 dates are complete")
    assert message(both, "unfinished").startswith(f"b: {len(started)} of {len(table)} planned trials have ended")
    assert "complete" in codes(both)
    assert message(both, "complete").startswith("a: all ")
    assert [m.trials for m in both.members] == [len(table), len(started)]
    assert "merged" in codes(both)


def test_missing_results_are_those_of_the_runs_that_have_the_arm():
    drawn = tables(truth(("m", 0.4), ("k", 0.6)), seed=3)
    both = analyse_runs(merge([part("a", drawn, "model", "m"), part("b", drawn, "model", "k", created=1.0)]))
    assert not [f for f in both.details if f.estimand in {"missing", "success_missing_bounds"}]
    assert "missing_results" not in codes(both)


def edited(one, column, value):
    """The run with one value throughout a column of ledger and plan."""
    tables_ = []
    for table in (one.view.table, one.view.planned):
        at, kind = table.column_names.index(column), table.schema.field(column).type
        tables_.append(table.set_column(at, column, pa.array([value] * len(table), kind)))
    return replace(one, view=replace(one.view, table=tables_[0], planned=tables_[1]))


def facts(one, **changes):
    return replace(one, view=replace(one.view, facts=one.view.facts.model_copy(update=changes)))


def design(one, **changes):
    return replace(one, design=replace(one.design, **changes))


@pytest.mark.parametrize(
    ("change", "field", "values"),
    [
        (lambda r: edited(r, "task_digest", "new"), "task_digest", ("digest of task-000", "new")),
        (lambda r: edited(r, "limit_memory_mult", 4.0), "multipliers", ("1.0", "4.0")),
        (lambda r: edited(r, "limit_memory_asked", 1), "specs", ("1",)),
        (lambda r: edited(r, "agent", "oracle"), "agent", ("m: scripted", "oracle")),
        (lambda r: edited(r, "enforcement", [("memory", "none")]), "enforcement.memory", ("enforced", "none")),
        (lambda r: edited(r, "node", [("qos_class", "Burstable")]), "qos", ("unknown", "Burstable")),
        (lambda r: facts(r, sandbox="docker"), "sandbox", ("local", "docker")),
        (lambda r: facts(r, timezone="Asia/Tokyo"), "timezone", ("UTC", "Asia/Tokyo")),
        (lambda r: facts(r, concurrency=8), "concurrency", ("2", "8")),
    ],
)  # fmt: skip
def test_runs_that_measured_differently_are_refused_or_assumed_alike(change, field, values):
    stated = truth(("m", 0.4))
    a, b = run("a", *tables(stated, 1)), change(run("b", *tables(stated, 2), created=1.0))
    with pytest.raises(InputError) as refused:
        merge([b, a])
    text = str(refused.value)
    assert f"a and b are not known to be alike in {field} " in text
    assert f"--assume-comparable {field}" in text
    assert all(v in text for v in values)
    wanted = {p.remedy.rpartition(" ")[2] for p in refused.value.problems}
    merged = merge([a, b], sorted(wanted))
    assert {x.difference.field for x in merged.assumed} == wanted
    told = [c.message for c in analyse_runs(merged).checks if c.code == "assumed_comparable"]
    assert any(m.startswith(f"assumed comparable, though not known to be alike: {field} (a: ") for m in told)


@pytest.mark.parametrize(
    ("change", "field", "values"),
    [
        (lambda r: design(r, bands=("1x", "5x")), "bands", ("1x, 3x", "1x, 5x")),
        (lambda r: design(r, reference="3x"), "reference", ("1x", "3x")),
        (lambda r: design(r, delta=0.05), "analysis", ("2pp", "5pp")),
        (lambda r: design(r, primary="q_trial"), "analysis", ("success,", "q_trial,")),
        (lambda r: facts(r, factors={"concurrency": {"low": 2}}), "factors", ("none", "concurrency")),
    ],
)
def test_runs_of_another_design_are_refused_whatever_is_assumed(change, field, values):
    stated = truth(("m", 0.4))
    a, b = run("a", *tables(stated, 1)), change(run("b", *tables(stated, 2), created=1.0))
    with pytest.raises(InputError) as refused:
        merge([a, b], ["multipliers", "specs"])
    text = str(refused.value)
    assert f"a and b differ in {field} (" in text
    assert all(v in text for v in values)


def test_models_may_have_different_agents_and_a_field_that_is_none_is_named():
    drawn = tables(truth(("m", 0.4), ("k", 0.6)), seed=3)
    a, b = part("a", drawn, "model", "m"), edited(part("b", drawn, "model", "k", created=1.0), "agent", "oracle")
    assert merge([a, b]).replicated == ()
    with pytest.raises(InputError, match="is not a field of methodology"):
        merge([a, b], ["memory"])


def test_the_same_run_twice_and_runs_without_a_common_task_are_refused():
    a = run("a", *tables(truth(("m", 0.4)), 1))
    with pytest.raises(InputError, match=r"elsewhere.*is the same run as a \(run-a\)"):
        merge([a, replace(a, name="elsewhere")])
    others = truth(("m", 0.4), names=tuple(f"other-{n}" for n in range(21)))
    with pytest.raises(InputError, match="no task in common"):
        merge([a, run("b", *tables(others, 1), created=1.0)])


def test_nodes_of_one_name_in_two_clusters_are_two_machines():
    drawn = tables(truth(("m", 0.4)), seed=12)
    a, b = (edited(run(n, *drawn, created=i), "node", [("name", "node-1")]) for i, n in enumerate("ab"))
    alone, both = (
        next(f.value for f in x.details if f.estimand == "cotenancy")
        for x in (whole_of(a), analyse_runs(merge([a, b])))
    )
    assert alone > 0
    assert both == alone


def test_dates_and_nodes_of_a_run():
    one = edited(run("a", *tables(truth(("m", 0.4)), 1)), "node", [("hostname", "n1"), ("kernel", "6.1")])
    assert nodes_of(one.view.table) == ("n1",)
    assert dates_of(one.view.table) == ("2026-02-02", "2026-02-03", "2026-02-04")


def with_levels(drawn):
    """The model "slow" as a level of another factor of the model "m"."""
    made = []
    for table in drawn:
        slow = pc.equal(table["model"], "slow").to_pylist()
        levels = pa.array([[("agent_timeout", "2x")] if s else [] for s in slow], pa.map_(pa.string(), pa.string()))
        swept = table.set_column(table.column_names.index("factors"), "factors", levels)
        made.append(swept.set_column(swept.column_names.index("model"), "model", pa.array(["m"] * len(swept))))
    return tuple(made)


def test_levels_of_other_factors_are_pooled_too_and_runs_are_told_apart_at_the_reference():
    drawn = with_levels(tables(truth(("m", 0.4), ("slow", 0.5), dates=4), seed=10))
    days = sorted(drawn[0]["occasion"].unique().to_pylist())
    swept = {"factors": (Swept("agent_timeout", "1x", ("1x", "2x")),)}
    halves = [part("a", drawn, "occasion", *days[:2], **swept), part("b", drawn, "occasion", *days[2:], **swept)]
    whole, both = whole_of(run("whole", *drawn, **swept)), analyse_runs(merge(halves))
    expected = [
        f for f in whole.findings if f.facet == Facet(FacetKind.FACTOR, "agent_timeout") and f.estimand == "success"
    ]
    found = {key(f): f for f in both.findings}
    assert len(expected) >= 4
    for f in expected:
        assert all(map(same, numbers(found[key(f)]), numbers(f))), f
    assert [f.model for f in both.findings if f.is_of(FacetKind.RUN) and f.facet.value] == ["m"] * 4
    assert both.members[0].models == ("m",)
