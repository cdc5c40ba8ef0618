"""Compare on cubes of a stated truth: the contrast, both verdicts, what is left out, degenerate data, methodology."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from raysweep.errors import InputError
from raysweep.report.comparison import comparison_document, comparison_sentences, leader, weakest
from raysweep.stats import simulate
from raysweep.stats.compare import Question, compare
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.gap import ComparedModel
from raysweep.stats.methodology import FIELDS, differences, refuse_differences

BANDS = ("1x", "3x", "uncapped")


def truth_of(a=(0.5, 0.5, 0.5), b=(0.5, 0.5, 0.5), **more):
    arms = [simulate.SimArm("A", n, p) for n, p in zip(BANDS, a, strict=False)]
    arms += [simulate.SimArm("B", n, p) for n, p in zip(BANDS, b, strict=False)]
    given = {"tasks": 40, "repeats": 4, "dates": 5, "date_sd": 0.02}
    return simulate.Truth(arms=tuple(arms), **(given | more))


def cube_of(stated, seed=1):
    return simulate.cube_of(stated, simulate.draw(stated, np.random.default_rng(seed)))


def within(cube):
    return ComparedModel("A", cube, "A"), ComparedModel("B", cube, "B")


def of_dates(cube, dates, arms):
    """The part of a cube that ran on some of its dates, with some of its arms: a run of its own on the same tasks."""
    rows, columns = np.isin(cube.date, dates), [i for i, a in enumerate(cube.arms) if a.model in arms]
    cut = {name: getattr(cube, name)[rows][:, columns] for name in ("y", "q", "present", "first_platform")}
    cut |= {name: getattr(cube, name)[rows] for name in ("task", "bucket")}
    return replace(
        cube, arms=tuple(cube.arms[i] for i in columns), dates=tuple(cube.dates[d] for d in dates),
        date=np.searchsorted(dates, cube.date[rows]), blocks=tuple(np.array(cube.blocks)[rows]), **cut,
    )  # fmt: skip


def apart(cube):
    """A on the first half of the dates, B on the second."""
    half = len(cube.dates) // 2
    first, second = np.arange(half), np.arange(half, 2 * half)
    return ComparedModel("run a", of_dates(cube, first, "A"), "A"), ComparedModel(
        "run b", of_dates(cube, second, "B"), "B"
    )


def mirror(f):
    ends = (f.low, f.high)
    return (-f.value, *(None if e is None else -e for e in ends[::-1]))


def test_within_one_run_delta_is_the_mean_over_tasks_and_bands_with_the_two_way_interval():
    cube = cube_of(truth_of(a=(0.6, 0.6, 0.6)))
    found = compare(*within(cube), Question())
    cells = np.stack([cube.y[:, i] - cube.y[:, i + 3] for i in range(3)]).mean(axis=0).reshape(40, 5, 4).mean(axis=2)
    v_task, v_date = np.var(cells.mean(axis=1), ddof=1) / 40, np.var(cells.mean(axis=0), ddof=1) / 5
    rest = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    noise = (rest**2).sum() / (39 * 4) / (40 * 5)
    variance = max(v_task, v_task + v_date - noise)
    df = variance**2 / (v_task**2 / 39 + v_date**2 / 4 + noise**2 / 156) if v_date > noise else 39
    f = found.delta
    assert f.value == pytest.approx(100 * cells.mean())
    assert f.high - f.low == pytest.approx(200 * t.ppf(0.975, max(df, 4)) * math.sqrt(variance))
    assert (f.estimand, f.arm, f.reference, f.facet, f.unit) == (
        "success",
        "A",
        "B",
        Facet(FacetKind.COMPARE),
        "points",
    )
    assert (f.resampled_over, f.n_tasks, f.n_attempts, f.n_dates) == ("tasks and dates", 40, 40 * 5 * 4 * 6, 5)
    assert [g.facet for g in found.per_band] == [Facet(FacetKind.COMPARE, b) for b in BANDS]
    assert f.value == pytest.approx(np.mean([g.value for g in found.per_band]))
    assert len(found.pairs) == 9


def test_two_runs_have_the_excess_of_both_and_name_both():
    cube = cube_of(truth_of(dates=8, date_sd=0.3))
    found = compare(*apart(cube), Question())
    a = cube.y[:, :3].mean(axis=1).reshape(40, 8, 4).mean(axis=2)[:, :4]
    b = cube.y[:, 3:].mean(axis=1).reshape(40, 8, 4).mean(axis=2)[:, 4:]
    v_task = np.var(a.mean(axis=1) - b.mean(axis=1), ddof=1) / 40
    excess = 0.0
    for m in (a, b):
        rest = m - m.mean(axis=1, keepdims=True) - m.mean(axis=0) + m.mean()
        excess += np.var(m.mean(axis=0), ddof=1) / 4 - (rest**2).sum() / (39 * 3) / (40 * 4)
    reach = (found.delta.high - found.delta.low) / 200
    assert found.delta.value == pytest.approx(100 * (a.mean() - b.mean()))
    assert reach > 1.96 * math.sqrt(v_task + excess)
    assert reach < t.ppf(0.975, 3) * math.sqrt(v_task + excess) + 1e-9
    assert [(s.estimand, s.arm, s.n_dates) for s in found.spreads] == [("date_sd", "run a", 4), ("date_sd", "run b", 4)]
    assert found.delta.n_attempts == 40 * 4 * 4 * 3 * 2
    assert found.delta.n_dates == 8


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_exchanging_the_sides_flips_every_sign(seed, one_run):
    cube = cube_of(truth_of(a=(0.7, 0.6, 0.5), tasks=12, dates=6), seed)
    a, b = within(cube) if one_run else apart(cube)
    plain, flipped = compare(a, b, Question()), compare(b, a, Question())
    for f, g in ((plain.delta, flipped.delta), *zip(plain.per_band, flipped.per_band, strict=True)):
        assert mirror(g) == pytest.approx((f.value, f.low, f.high), abs=1e-9)
    assert (plain.claim, plain.robust, plain.sceptical) == (flipped.claim, flipped.robust, flipped.sceptical)
    if plain.pairs and plain.delta.value:
        assert leader(plain) == leader(flipped)
        assert weakest(plain)[:2] == weakest(flipped)[:2]


@pytest.mark.parametrize("layout", [within, apart])
def test_a_large_gap_is_beyond_noise_and_robust(layout):
    found = compare(*layout(cube_of(truth_of(a=(0.8,) * 3, b=(0.4,) * 3, dates=8))), Question())
    assert (found.claim, found.robust, found.sceptical) == ("beyond noise", True, False)
    text = " ".join(comparison_sentences(found))
    assert "leads" in text
    assert "beyond sampling and infrastructure noise" in text
    assert "Robust to mismatched resources from 1x to uncapped" in text
    assert "with caution" not in text


def test_a_lead_at_some_bands_only_is_told_as_such():
    cube = cube_of(truth_of(a=(0.8, 0.8, 0.5), b=(0.4, 0.4, 0.5), dates=6))
    found = compare(*within(cube), Question())
    assert found.claim == "leads, not at every resource setting"
    assert not found.robust
    assert "not at every resource setting: at uncapped it is" in comparison_sentences(found)[0]


def test_equal_bands_but_not_robust_when_resources_matter_more_than_the_models():
    cube = cube_of(truth_of(a=(0.5, 0.65, 0.8), b=(0.3, 0.45, 0.6), dates=6))
    found = compare(*within(cube), Question())
    assert (found.claim, found.robust) == ("beyond noise", False)
    band, other, f = weakest(found)
    assert (band, other) == ("1x", "uncapped")
    assert f.low < 0
    assert "Not robust to mismatched resources: A at 1x against B at uncapped" in comparison_sentences(found)[1]
    assert "give the ceiling that `raysweep calibrate` recommends" in comparison_sentences(found)[2]
    narrower = compare(*within(cube), Question(floor="3x", ceiling="3x"))
    assert (narrower.matched, narrower.pairs, narrower.robust) == (("3x",), (), None)
    assert "alone cannot tell" in comparison_sentences(narrower)[1]


def test_equal_models_are_not_beyond_noise_and_that_is_no_proof():
    found = compare(*within(cube_of(truth_of())), Question())
    assert (found.claim, found.robust) == ("not beyond noise", False)
    sentences = comparison_sentences(found)
    assert "not proof of equality" in sentences[0]
    assert ("with caution" in sentences[-1]) == (abs(found.delta.value) < 3)


def test_a_small_gap_on_assumed_methodology_calls_for_caution_even_beyond_noise():
    stated = truth_of(a=(0.5,) * 3, b=(0.48,) * 3, tasks=89, repeats=400, dates=6, date_sd=0.0, concentration=math.inf)
    sides = within(cube_of(stated))
    known, assumed = compare(*sides, Question()), compare(*sides, Question(assumed=("cgroup",)))
    assert (known.claim, assumed.claim) == ("beyond noise", "beyond noise")
    assert abs(known.delta.value) < 3
    assert (known.sceptical, assumed.sceptical) == (False, True)
    assert "this one is beyond noise" in comparison_sentences(known)[-1]
    assert "alike in cgroup was assumed" in comparison_sentences(assumed)[-1]


@pytest.mark.parametrize("dates", [1, 2])
def test_too_few_dates_are_not_enough_and_name_what_is_missing_unless_their_spread_is_stated(dates):
    cube = cube_of(truth_of(a=(0.9,) * 3, dates=dates))
    found = compare(*within(cube), Question())
    assert (found.claim, found.robust, found.delta.low) == ("not enough data", None, None)
    assert found.delta.value is not None
    assert f"needs {3 - dates} more" in comparison_sentences(found)[0]
    stated = compare(*within(cube), Question(temporal_sd=0.02))
    assert stated.claim == "beyond noise"
    assert "2 points, was stated and not measured" in comparison_sentences(stated)[-1]
    wild = compare(*within(cube), Question(temporal_sd=0.5))
    assert wild.claim == "not beyond noise"


def test_a_stated_spread_that_the_dates_contradict_is_told():
    a, b = apart(cube_of(truth_of(dates=10, date_sd=0.2)))
    codes = {w.code for w in compare(a, b, Question(temporal_sd=0.01)).delta.warnings}
    assert codes == {"spread_contradicted"}
    assert not compare(a, b, Question(temporal_sd=0.9)).delta.warnings


def test_of_two_runs_each_with_too_few_dates_is_named():
    a, b = apart(cube_of(truth_of(dates=4)))
    text = comparison_sentences(compare(a, b, Question()))[0]
    assert "run a has 2 dates and needs 1 more; run b has 2 dates and needs 1 more" in text
    assert "--temporal-sd" in text


def test_missing_results_are_counted_bounded_and_their_tasks_named():
    cube = cube_of(truth_of(a=(0.6,) * 3))
    y = cube.y.copy()
    y[::11, 0] = np.nan
    y[cube.task == 2, 4] = np.nan
    holes = replace(cube, y=y, not_started=7)
    found = compare(*within(holes), Question())
    of = {w.code: w.message for w in found.delta.warnings}
    assert set(of) == {"missing_results", "tasks_left_out", "unfinished"}
    assert cube.tasks[2] in of["tasks_left_out"]
    assert f"{int(np.isnan(y).sum())} of {y.size} trials" in of["missing_results"]
    low, high = (float(x) for x in of["missing_results"].rsplit("is ", 1)[1].split(" to "))
    assert low < found.delta.value < high
    assert found.delta.n_tasks == 39


def test_a_band_without_results_of_both_is_left_out_and_named():
    cube = cube_of(truth_of(a=(0.9,) * 3, b=(0.3,) * 3))
    y, present = cube.y.copy(), cube.present.copy()
    y[:, 5], present[:, 5] = np.nan, False
    found = compare(*within(replace(cube, y=y, present=present)), Question())
    assert found.bands == ("1x", "3x")
    assert "uncapped" in next(w.message for w in found.delta.warnings if w.code == "bands_without_results")
    assert found.claim == "beyond noise"
    with pytest.raises(InputError, match="--ceiling: not a common band with results"):
        compare(*within(replace(cube, y=y, present=present)), Question(ceiling="uncapped"))


def test_all_equal_outcomes_are_a_bound_and_not_beyond_noise():
    cube = cube_of(truth_of())
    found = compare(*within(replace(cube, y=np.ones_like(cube.y))), Question())
    assert (found.claim, found.delta.value) == ("not beyond noise", 0.0)
    assert found.delta.high == pytest.approx(100 * (1 - 0.05 ** (1 / 40)))
    always = np.ones_like(cube.y)
    always[:, 3:] = 0.0
    assert compare(*within(replace(cube, y=always)), Question()).claim == "beyond noise"


def test_one_task_and_no_results_are_not_enough():
    one = compare(*within(cube_of(truth_of(tasks=1))), Question())
    assert one.claim == "not enough data"
    assert "one task cannot tell" in comparison_sentences(one)[0]
    cube = cube_of(truth_of())
    nothing = compare(*within(replace(cube, y=np.full_like(cube.y, np.nan))), Question())
    assert (nothing.claim, nothing.delta.value, nothing.bands) == ("not enough data", None, ())
    assert comparison_sentences(nothing) == (
        "Nothing can be said yet: no common task has results of both at every common band; run on.",
    )


def test_a_cube_without_any_block_is_not_enough():
    cube = cube_of(truth_of())
    rows = {n: getattr(cube, n)[:0] for n in ("y", "q", "present", "first_platform", "task", "bucket", "date")}
    found = compare(*within(replace(cube, dates=(), blocks=(), **rows)), Question())
    assert (found.claim, found.delta.value, found.findings) == ("not enough data", None, (found.delta,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a, replace(b, model="C")), "not a model of this run"),
        (lambda a, b: (a, replace(b, cube=replace(b.cube, tasks=tuple(f"other-{n}" for n in b.cube.tasks)))),
         "no task in common"),
        (lambda a, b: (a, replace(b, cube=replace(b.cube, arms=tuple(replace(x, band="2x") for x in b.cube.arms)))),
         "no band in common"),
    ],
)  # fmt: skip
def test_what_has_nothing_in_common_is_refused(change, message):
    a, b = apart(cube_of(truth_of(dates=6)))
    with pytest.raises(InputError, match=message):
        compare(*change(a, b), Question())


def test_floor_above_ceiling_is_refused():
    with pytest.raises(InputError, match="above the ceiling"):
        compare(*within(cube_of(truth_of())), Question(floor="uncapped", ceiling="1x"))


def test_only_common_tasks_count():
    a, b = apart(cube_of(truth_of(dates=6)))
    names = tuple(f"zz-{n}" if i % 2 else n for i, n in enumerate(b.cube.tasks))
    order = np.argsort(names)
    moved = replace(b.cube, tasks=tuple(names[i] for i in order), task=np.argsort(order)[b.cube.task])
    found = compare(a, replace(b, cube=moved), Question())
    assert found.delta.n_tasks == 20
    even = [t for t in range(40) if t % 2 == 0]
    by = [c.y[np.isin(c.task, even)].mean() for c in (a.cube, b.cube)]
    assert found.delta.value == pytest.approx(100 * (by[0] - by[1]))


def test_cycles_are_not_days_and_this_is_said():
    cube = cube_of(truth_of())
    cycles = replace(cube, dates=tuple(f"cycle {n}" for n in range(1, 6)))
    assert "cycles" in {w.code for w in compare(*within(cycles), Question()).delta.warnings}


def test_the_document_holds_every_finding_and_no_nan():
    found = compare(*within(cube_of(truth_of())), Question())
    told = json.loads(json.dumps(comparison_document(found, runs=["r"], provenance={}), allow_nan=False))
    assert len(told["findings"]) == 1 + 3 + 9 + 1
    assert all(f["estimand"] in {"success", "date_sd"} and f["n_tasks"] == 40 for f in told["findings"])
    assert told["comparison"]["beyond_noise"] is False


KNOWN = {name: f"{name} known" for name in FIELDS}


def test_methodology_that_is_alike_and_known_is_not_refused():
    assert differences(KNOWN, dict(KNOWN)) == ()
    assert differences(KNOWN | {"concurrency": None}, KNOWN | {"concurrency": None}) == ()


@pytest.mark.parametrize("other", [None, "another"])
def test_fields_that_differ_or_are_unknown_are_all_named_and_can_be_assumed(other):
    apart_in = {"cgroup": other, "agent": other, "concurrency": other}
    found = differences(KNOWN, KNOWN | apart_in)
    assert {d.field for d in found} == set(apart_in)
    with pytest.raises(InputError) as refused:
        refuse_differences(found, ["agent"], "run a", "run b")
    assert len(refused.value.problems) == 2
    assert all("--assume-comparable" in str(p) for p in refused.value.problems)
    assert refuse_differences(found, list(apart_in), "run a", "run b") == found
    with pytest.raises(InputError, match="did you mean cgroup"):
        refuse_differences((), ["cgruop"], "run a", "run b")


def test_unknown_in_both_is_refused_too():
    assert [d.field for d in differences(KNOWN | {"cgroup": None}, KNOWN | {"cgroup": None})] == ["cgroup"]
