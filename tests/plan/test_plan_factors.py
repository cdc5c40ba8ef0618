"""Other factors in the plan: arms, ids that do not move, what the levels cost, and what is printed of them."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.plan import make_plan
from raysweep.plan.cost import Pilot, estimate
from raysweep.plan.describe import describe
from raysweep.plan.design import arms_of
from raysweep.plan.table import plan_table
from raysweep.study.load import load_study
from raysweep.trial.order import Conditions
from support.plan_samples import make_sweep, make_tasks
from support.plan_tables import plan_from_table

CONFIGS = Path(__file__).parents[2] / "configs"
FACTORS = {
    "agent_timeout": {"reference": "1x", "levels": {"1x": 1.0, "2x": 2.0, "half": 0.5}},
    "concurrency": {"reference": "low", "levels": {"low": 1, "high": 4}},
    "egress": {"reference": "free", "levels": {"free": "none", "slow": "1Mi"}},
}
SLOTS = {"runner": {"concurrency": 4}}


def planned(factors, **more):
    sweep, tasks = make_sweep(factors=factors, **SLOTS, **more), make_tasks(2)
    return sweep, make_plan(sweep, tasks), tasks


def ids(plan):
    return [[(t.trial_id, t.seed, t.arm) for t in b.trials] for b in plan.blocks]


@pytest.mark.parametrize(("name", "plan_id"), [("quickstart", "p5c42cdc99e52"), ("simulated", "p160c2def3dc1")])
def test_sweeps_without_factors_keep_the_ids_they_had(name, plan_id):
    study = load_study(CONFIGS / f"{name}.yaml")
    assert study.plan.plan_id == plan_id
    assert {t.arm.key.count("/") for b in study.plan.blocks for t in b.trials} == {1}


def test_one_factor_at_a_time_is_the_default_and_the_full_grid_is_asked_for():
    sweep = make_sweep(factors=FACTORS, **SLOTS)
    moved = [a for a in arms_of(sweep) if a.factors]
    assert {a.band for a in moved} == {"1x"}
    assert sorted(a.factors for a in moved if a.model == "m0") == [
        (("agent_timeout", "2x"),), (("agent_timeout", "half"),), (("concurrency", "high"),), (("egress", "slow"),),
    ]  # fmt: skip
    assert len(arms_of(sweep)) == 2 * (3 + 4)
    full, _, _ = planned({**FACTORS, "design": "full"})
    assert len(arms_of(full)) == 2 * 3 * (3 * 2 * 2) == len(set(arms_of(full)))


def test_arms_at_all_references_are_those_of_the_sweep_without_factors():
    _, plan, _ = planned(FACTORS)
    _, bare, _ = planned({})
    with_levels = {t.trial_id: (t.seed, t.arm) for b in plan.blocks for t in b.trials}
    without = {t.trial_id: (t.seed, t.arm) for b in bare.blocks for t in b.trials}
    assert without.items() <= with_levels.items()
    assert [b.block_id for b in plan.blocks] == [b.block_id for b in bare.blocks]
    assert plan.plan_id != bare.plan_id


def test_a_changed_value_or_reference_is_another_plan():
    other = {**FACTORS, "egress": {"reference": "free", "levels": {"free": "none", "slow": "2Mi"}}}
    moved = {**FACTORS, "egress": {**FACTORS["egress"], "reference": "slow"}}
    assert len({planned(f)[1].plan_id for f in (FACTORS, other, moved)}) == 3


@given(st.sampled_from(list(permutations(FACTORS))), st.booleans(), st.sampled_from(["one-at-a-time", "full"]))
def test_the_order_of_keys_changes_nothing_and_every_block_holds_every_arm(order, turned, design):
    def again(factor):
        items = list(factor["levels"].items())
        return {**factor, "levels": dict(reversed(items) if turned else items)}

    sweep, plan, _ = planned({"design": design, **{name: again(FACTORS[name]) for name in order}}, n_models=1)
    _, straight, _ = planned({**FACTORS, "design": design}, n_models=1)
    assert ids(plan) == ids(straight)
    assert plan.plan_id == straight.plan_id
    every = set(arms_of(sweep))
    assert all({t.arm for t in b.trials} == every and len(b.trials) == len(every) for b in plan.blocks)
    trials = [t.trial_id for b in plan.blocks for t in b.trials]
    assert len(set(trials)) == len(trials)


def test_plan_parquet_holds_the_levels_and_gives_the_plan_back():
    sweep, plan, tasks = planned(FACTORS)
    table = plan_table(plan, sweep, tasks)
    assert plan_from_table(table) == plan
    assert {tuple(map(tuple, f)) for f in table["factors"].to_pylist()} == {a.factors for a in arms_of(sweep)}


def test_time_limits_and_levels_of_concurrency_count_in_the_cost():
    sweep, plan, tasks = planned(
        {"agent_timeout": {"reference": "1x", "levels": {"1x": 1, "3x": 3}}, "concurrency": FACTORS["concurrency"]},
        n_models=1, n_bands=1,
    )  # fmt: skip
    # Arms: reference, 3x the time limit (both one at once), four at once. Of a trial: 5 + 10 + 5 s, or 5 + 30 + 5 s.
    found, per_arm = estimate(plan, sweep, tasks), len(plan.blocks)
    assert found.upper.agent_hours * 3600 == pytest.approx(per_arm * (10 + 30 + 10))
    assert found.upper.trial_hours * 3600 == pytest.approx(per_arm * (20 + 40 + 20))
    assert found.upper.wall_s(4) == pytest.approx(per_arm * (20 + 40 + 20 / 4))
    expected = estimate(plan, sweep, tasks, Pilot(trial_s=8, agent_s=4)).expected
    assert expected.wall_s(4) == pytest.approx(per_arm * (8 + 8 + 8 / 4))


def test_the_plan_says_its_factors():
    sweep, plan, tasks = planned({**FACTORS, "concurrency": {"reference": "low", "levels": {"low": 2, "high": 4}}})
    lines = describe(plan, sweep, estimate(plan, sweep, tasks))
    assert "2 tasks x 14 arms" in lines[1]
    assert "  factor concurrency: low = 2 at once, high = 4 at once; reference low" in lines
    assert "  factor egress: free = no bound, slow = 1Mi/s; reference free" in lines
    assert "  one factor at a time, at band 1x, the others at their reference" in lines
    assert any("at 2 and 4 at once" in line for line in lines)


def test_an_arm_gets_the_conditions_of_its_levels():
    factors = make_sweep(factors=FACTORS, **SLOTS).factors
    assert Conditions.of(factors, ()) == Conditions(("agent_timeout", "concurrency", "egress"))
    assert Conditions.of(factors, (("agent_timeout", "2x"), ("egress", "slow"))) == Conditions(
        ("agent_timeout", "concurrency", "egress"), agent_timeout=2.0, egress=1 << 20
    )
    assert Conditions.of(make_sweep().factors, ()) == Conditions()
