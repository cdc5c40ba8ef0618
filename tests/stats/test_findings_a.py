"""Findings of significance, decomposition and change point on ledgers of a stated truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as hy

from raysweep.stats import simulate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.changepoint import change_points
from raysweep.stats.findings.decompose import decompose
from raysweep.stats.findings.significance import p_text, significance
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.multiplicity import holm
from raysweep.stats.methods.permutation import sign_flip
from raysweep.stats.simulate import STUDY, SimArm, Truth
from support import truth as rows_of

HOW = Draws(seed=11, replicates=1000, level=0.95)
TWO = Truth(arms=(SimArm("m", "1x", 0.4, 0.3, 1.0), SimArm("m", "3x", 0.6, 0.1, 3.0)), tasks=30, repeats=4)


def ledger(stated, seed=1, **design):
    rng = np.random.default_rng(seed)
    drawn = simulate.draw(stated, rng)
    table, planned = (with_labels(t) for t in simulate.tables_of(stated, drawn, rng))
    made = stated.design(**design)
    return build_cube(table, planned, made), table, made


def from_rows(made, stated, **design):
    table, planned = with_labels(rows_of.table(made)), with_labels(rows_of.planned(made))
    design = stated.design(**design)
    return build_cube(table, planned, design), table, design


def everything(cube, table, design):
    return [
        *significance(cube, table, design, HOW),
        *decompose(cube, design, HOW),
        *change_points(cube, table, design, HOW),
    ]


def find(findings, **wanted):
    found = [f for f in findings if all(getattr(f, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def codes(finding):
    return {w.code for w in finding.warnings}


def test_a_true_effect_is_found_by_each_test():
    found = list(significance(*ledger(TWO), HOW))
    success = find(found, estimand="p_success")
    assert success.value < 0.001
    assert "random sign flips of 30 task contrasts" in success.method or "all sign flips of 30" in success.method
    infra = find(found, estimand="p_infra_rate_resource")
    assert infra.value < 0.001
    assert "common odds ratio" in infra.method
    assert infra.resampled_over == "tasks fixed"
    assert infra.n_attempts == 240
    assert not [f for f in found if "trend" in f.estimand]  # two bands have no trend
    assert success.registered
    assert not infra.registered


def test_sign_flip_is_that_of_the_task_contrasts():
    cube, table, design = ledger(replace(TWO, tasks=9))
    found = find(significance(cube, table, design, HOW), estimand="p_success")
    d = cube.task_means(cube.y[:, 1] - cube.y[:, 0], cube.in_bucket(None))[0]
    expected = st.permutation_test((d, -d), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert found.value == pytest.approx(expected.pvalue)


def test_holm_over_arms_of_a_model_with_the_p_alone_in_the_method():
    cube, table, design = ledger(replace(STUDY, tasks=40, repeats=4), registered=False)
    found = [f for f in significance(cube, table, design, HOW) if f.estimand == "p_success"]
    assert len(found) == 5
    alone = []
    for arm in range(1, 6):
        d = cube.task_means(cube.y[:, arm] - cube.y[:, 0], cube.in_bucket(None))[0]
        alone.append(sign_flip(d, HOW.seed).p)
    assert [f.value for f in found] == list(holm(alone))
    assert all("alone, adjusted over 5 arms (Holm)" in f.method for f in found)
    assert p_text(alone[-1]) in found[-1].method


def test_registered_contrasts_are_a_family_of_their_own():
    cube, table, design = ledger(replace(STUDY, tasks=40, repeats=4), contrasts=("3x", "uncapped"))
    found = {f.arm: f for f in significance(cube, table, design, HOW) if f.estimand == "p_success"}
    assert [f.arm for f in found.values() if f.registered] == ["3x", "uncapped"]
    assert "over 2 arms" in found["uncapped"].method
    assert "over 5 arms" in found["5x"].method


def test_one_block_per_task_is_mcnemars():
    cube, table, design = ledger(replace(TWO, repeats=1, tasks=60))
    found = find(significance(cube, table, design, HOW), estimand="p_infra_rate_resource")
    b, c = (int(np.sum((cube.q[:, i] == 1) & (cube.q[:, 1 - i] == 0))) for i in (1, 0))
    assert found.method.startswith("McNemar")
    assert found.value == pytest.approx(st.binomtest(b, b + c).pvalue)


def test_superseded_attempts_count_in_the_infra_test():
    made = rows_of.rows(rows_of.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.5}, tasks=6, repeats=3))
    first = made[0]
    old = first | rows_of.infra("oom_limit", "resource") | {"attempt_id": "old", "block_run": 0, "is_final": False}
    stated = rows_of.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.5})
    found = find(significance(*from_rows([*made, old], stated), HOW), estimand="p_infra_rate_resource")
    assert found.n_attempts == 37
    assert "over 1 tasks with events" in found.method


def test_trends_over_the_study():
    found = list(significance(*ledger(replace(STUDY, tasks=40, repeats=8)), HOW))
    deaths = find(found, estimand="p_trend_q_trial")
    assert deaths.value < 0.001
    assert "falling" in deaths.method
    success = find(found, estimand="p_trend_success")
    assert "rising" in success.method
    assert success.facet.names == ("1x", "1.5x", "2x", "3x", "5x", "uncapped")


def test_decomposition_identity_and_bounds_on_a_ledger():
    cube, _, design = ledger(TWO)
    found = list(decompose(cube, design, HOW))
    rescued, other = (find(found, estimand=e, facet=None) for e in ("rescued", "other_successes"))
    p, q = ([100 * m[:, i].mean() for i in (0, 1)] for m in (cube.y, cube.q))
    dp, dq = p[1] - p[0], q[1] - q[0]
    assert (rescued.low, rescued.high) == pytest.approx((0.0, -dq))
    assert (other.low, other.high) == pytest.approx((dp + dq, dp))
    assert rescued.value is None
    assert rescued.level is None
    assert codes(rescued) == {"bounds_only"}
    infra, clean = (find(found, estimand=f"decomposition_{e}") for e in ("infra", "clean"))
    assert infra.value + clean.value == pytest.approx(dp)
    assert infra.low < infra.value < infra.high
    assert clean.low < clean.value < clean.high
    assert "accounting, not causal" in infra.method
    assert "expanded percentile" in infra.method


@settings(max_examples=30, deadline=None)
@given(hy.integers(0, 10_000), hy.integers(1, 25), hy.integers(1, 4))
def test_the_parts_add_up_on_any_ledger(seed, tasks, repeats):
    stated = replace(TWO, tasks=tasks, repeats=repeats)
    cube = simulate.cube_of(stated, simulate.draw(stated, np.random.default_rng(seed)))
    found = list(decompose(cube, stated.design(), HOW))
    infra, clean = (find(found, estimand=f"decomposition_{e}") for e in ("infra", "clean"))
    if infra.value is None:
        assert codes(infra) >= {"no_clean_trials"}
    else:
        assert infra.value + clean.value == pytest.approx(100 * (cube.y[:, 1].mean() - cube.y[:, 0].mean()))


def test_few_deaths_get_no_interval():
    found = list(
        decompose(*ledger(replace(TWO, arms=(SimArm("m", "1x", 0.5, 0.01), SimArm("m", "3x", 0.5, 0.0))))[::2], HOW)
    )
    infra, clean = (find(found, estimand=f"decomposition_{e}") for e in ("infra", "clean"))
    assert infra.value is not None
    assert infra.low is None
    assert "rare_events" in codes(infra)
    assert clean.low < clean.high


def test_where_everything_died_the_split_is_undefined():
    stated = rows_of.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.9}, infra={("m", "1x"): 1.0})
    cube, _, design = from_rows(rows_of.rows(stated), stated)
    found = list(decompose(cube, design, HOW))
    infra = find(found, estimand="decomposition_infra")
    assert infra.value is None
    assert "no_clean_trials" in codes(infra)
    assert "undefined" in infra.method
    assert find(found, estimand="rescued", facet=None).high == pytest.approx(100.0)


def test_change_point_of_the_study():
    found = find(change_points(*ledger(STUDY, seed=4), HOW), estimand="change_point")
    members = list(found.facet.names)
    assert "3x" in members
    assert found.low <= 3 <= found.high
    assert (found.value == 3.0) == (members == ["3x"])
    assert "1x 4" in found.method
    assert found.unit == "multiplier"


def test_change_point_that_is_not_shown_names_the_set():
    found = find(change_points(*ledger(replace(STUDY, repeats=5)), HOW), estimand="change_point")
    assert found.value is None
    assert "several" in codes(found)
    assert len(found.facet.names) > 1
    assert found.low < found.high


def test_an_uncapped_change_point_has_no_number():
    arms = (SimArm("m", "1x", 0.2, 0.7, 1.0), SimArm("m", "2x", 0.2, 0.4, 2.0), SimArm("m", "uncapped", 0.2, 0.01))
    found = find(change_points(*ledger(Truth(arms, tasks=40, repeats=10)), HOW), estimand="change_point")
    assert found.facet == Facet(FacetKind.BANDS, ("uncapped",))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert codes(found) == {"no_number", "at_the_end"}


def test_multipliers_come_from_the_ledger_else_from_names():
    arms = (
        SimArm("m", "small", 0.4, 0.4, 1.0),
        SimArm("m", "middle", 0.4, 0.1, 1.5),
        SimArm("m", "big", 0.9, 0.01, 4.0),
    )
    cube, table, design = ledger(Truth(arms, tasks=40, repeats=10))
    found = find(change_points(cube, table, design, HOW), estimand="change_point")
    assert (found.facet.names, found.value) == (("middle",), 1.5)
    bare = table.drop_columns(["limit_memory_mult", "limit_cpu_mult"])
    assert find(change_points(cube, bare, design, HOW), estimand="change_point").value is None
    named = Truth(
        tuple(replace(a, band=b) for a, b in zip(arms, ("1x", "2.5x", "4x"), strict=True)), tasks=40, repeats=10
    )
    cube, table, design = ledger(named)
    bare = table.drop_columns(["limit_memory_mult", "limit_cpu_mult"])
    assert find(change_points(cube, bare, design, HOW), estimand="change_point").value == 2.5


def test_no_deaths_no_change_point():
    arms = tuple(replace(a, infra=0.0) for a in STUDY.arms)
    found = find(change_points(*ledger(Truth(arms, tasks=10)), HOW), estimand="change_point")
    assert found.facet is None
    assert codes(found) == {"no_deaths"}


THREE = {("m", "1x"): 0.5, ("m", "2x"): 0.5, ("m", "3x"): 0.5}


def one_task(made):
    return [r for r in made if r["task"] == "task-00"]


def one_block(made):
    return [r for r in made if r["block_id"] == made[0]["block_id"]]


def all_equal(made):
    return [r | {"outcome": "scored", "reward": 1.0, "cause": None, "cause_class": None} for r in made]


def all_dead(made):
    return [r | rows_of.infra("oom_limit", "resource") for r in made]


def missing_arm(made):
    return [r for r in made if r["band"] != "3x"]


def missing_reference(made):
    return [r for r in made if r["band"] != "1x"]


def no_rows(made):
    return []


@pytest.mark.parametrize(
    "edit",
    [one_task, one_block, all_equal, all_dead, missing_arm, missing_reference, no_rows],
    ids=lambda e: e.__name__,
)
def test_a_poor_ledger_gives_findings_with_reasons(edit):
    stated = rows_of.Truth(success=THREE, infra={("m", "1x"): 0.3}, tasks=4, repeats=2)
    made = rows_of.rows(stated)
    edited = edit(made)
    table, planned = with_labels(rows_of.table(edited)), with_labels(rows_of.planned(made))
    design = stated.design()
    found = everything(build_cube(table, planned, design), table, design)
    assert {f.estimand for f in found} == {
        "p_success", "p_infra_rate_resource", "p_trend_success", "p_trend_q_trial", "rescued", "other_successes",
        "decomposition_infra", "decomposition_clean", "change_point",
    }  # fmt: skip
    for f in found:
        if f.value is None:
            assert f.warnings, f
            assert all(w.remedy for w in f.warnings)
        if f.unit == "p" and f.value is not None:
            assert 0 < f.value <= 1
        assert "equal" not in f.method
    if edit in {all_equal, all_dead}:
        assert all(f.value == 1.0 and "all_tied" in codes(f) for f in found if f.unit == "p")


def test_a_ledger_of_two_bands_or_one_asks_for_less():
    stated = rows_of.Truth(success={("m", "1x"): 0.5}, tasks=3)
    assert everything(*from_rows(rows_of.rows(stated), stated)) == []


def test_the_findings_do_not_depend_on_the_workers():
    from concurrent.futures import ThreadPoolExecutor

    cube, table, design = ledger(replace(STUDY, tasks=25, repeats=3))
    alone = everything(cube, table, design)
    with ThreadPoolExecutor(3) as pool:
        how = Draws(seed=11, replicates=1000, level=0.95, map=pool.map)
        together = [*significance(cube, table, design, how), *decompose(cube, design, how)]
        together += change_points(cube, table, design, how)
    assert alone == together
