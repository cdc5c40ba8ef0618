"""Planning numbers: from stated rates, and from a pilot's ledger whose truth is known."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from raysweep.stats import simulate
from raysweep.stats.methods.power import Noise, reach, stated_noise, trial_variance
from raysweep.stats.pilot import pilot_rates
from raysweep.stats.planning import Assumed, PlanSize, basis, lines, plan_power, smallest, stated
from support import truth as ledgers

SHAPE = PlanSize(tasks=89, repeats=8, buckets=4, dates=4, arms=6)


def pilot(truth, seed=1):
    rng = np.random.default_rng(seed)
    table, planned = simulate.tables_of(truth, simulate.draw(truth, rng), rng)
    return pilot_rates(table, planned, truth.design())


def two(first=0.45, second=0.45, infra=0.06, **more):
    arms = (simulate.SimArm("m", "1x", first, infra), simulate.SimArm("m", "3x", second, infra / 3))
    return replace(simulate.Truth(arms=arms), **more)


def test_rates_and_variances_of_a_large_pilot_are_the_true_ones():
    found = pilot(two(tasks=800, repeats=8))
    assert found.noise.block == pytest.approx(2 * trial_variance(0.45), rel=0.03)
    assert found.noise.effect < 0.002
    assert found.trial == pytest.approx(trial_variance(0.45), rel=0.03)
    assert found.infra == pytest.approx(0.06, abs=0.008)
    assert "800 tasks x 8 block(s)" in found.words


def test_effects_that_differ_between_tasks_are_told_from_noise():
    """A contrast of 30 points that grows with 1 - p: its sd between tasks is 0.3 sd(p) / 0.55."""
    found = pilot(two(second=0.75, tasks=800, repeats=8))
    assert math.sqrt(found.noise.effect) == pytest.approx(0.3 * math.sqrt(0.45 * 0.55 / 3) / 0.55, rel=0.1)


def test_the_estimates_are_unbiased_over_small_pilots():
    truth = two(tasks=10, repeats=2)
    found = [pilot(truth, seed) for seed in range(60)]
    blocks = [f.noise.block for f in found]
    assert np.mean(blocks) == pytest.approx(0.33, abs=3 * np.std(blocks) / math.sqrt(60))


def test_one_block_per_task_counts_all_spread_as_noise():
    found = pilot(two(tasks=400, repeats=1, second=0.75))
    assert found.noise.effect == 0
    assert found.noise.block == pytest.approx(2 * trial_variance(0.6), rel=0.25)
    assert "all spread counted as noise" in found.words


def test_a_pilot_that_saw_no_difference_or_no_second_arm_still_gives_noise():
    always = two(first=1.0 - 1e-9, second=1.0 - 1e-9, infra=0.0, tasks=5, repeats=3, concentration=math.inf)
    found = pilot(always)
    assert found.noise == stated_noise(0.99)
    assert found.infra is None
    alone = ledgers.Truth(success={("m", "1x"): 0.4}, tasks=20, repeats=4)
    rows = ledgers.rows(alone)
    one = pilot_rates(ledgers.table(rows), ledgers.planned(rows), alone.design())
    assert one.noise.block > 0
    assert "no two arms" in one.words
    assert one.trial == pytest.approx(0.24, abs=0.05)


def test_the_noisiest_model_counts():
    stated_truth = ledgers.Truth(
        success={("calm", "1x"): 1.0, ("calm", "3x"): 1.0, ("wild", "1x"): 0.5, ("wild", "3x"): 0.5}, repeats=6
    )
    rows = ledgers.rows(stated_truth)
    found = pilot_rates(ledgers.table(rows), ledgers.planned(rows), stated_truth.design())
    assert found.noise.block > 0.3


def test_a_pilot_without_a_result_tells_nothing():
    truth = two(tasks=3)
    rng = np.random.default_rng(1)
    table, planned = simulate.tables_of(truth, simulate.draw(truth, rng), rng)
    assert pilot_rates(table.slice(0, 0), planned, truth.design()) is None


def test_deaths_on_few_tasks_are_worth_fewer_trials():
    scattered = ledgers.Truth(
        success={("m", "1x"): 0.5, ("m", "3x"): 0.5}, infra={("m", "1x"): 0.2}, tasks=20, repeats=20
    )
    rows = ledgers.rows(scattered)
    spread = pilot_rates(ledgers.table(rows), ledgers.planned(rows), scattered.design())
    heavy = [
        r | (ledgers.infra("oom_limit", "resource") if r["band"] == "1x" and r["task"] < "task-04" else
             {"outcome": "scored", "reward": float(r["repeat"] % 2), "cause": None, "cause_class": None})
        for r in rows
    ]  # fmt: skip
    few = pilot_rates(ledgers.table(heavy), ledgers.planned(heavy), scattered.design())
    assert spread.infra == pytest.approx(few.infra, abs=0.05)
    assert few.design_effect > 5 * spread.design_effect
    assert plan_power(SHAPE, few).infra_after < plan_power(SHAPE, spread).infra_after


def test_numbers_of_a_design():
    p = plan_power(SHAPE, stated())
    expected = reach(stated_noise(0.5), 89, 32, fixed=False, level=0.95, power=0.8)
    assert p.contrast_sampled == pytest.approx(100 * expected.effect)
    assert p.half_width_sampled == pytest.approx(100 * expected.half_width)
    assert p.contrast_fixed < p.contrast_sampled
    assert [t.points for t in p.targets] == [2, 3, 6]
    for target in p.targets:
        assert target.sampled % SHAPE.dates == 0, "every date gets the same number"
        at = reach(stated_noise(0.5), 89, target.sampled * 4, fixed=False, level=0.95, power=0.8)
        assert 100 * at.effect <= target.points
    assert p.infra_before == pytest.approx(5.8)
    assert 0 < p.infra_after < 5.8
    assert p.looks == ()
    assert smallest(p) == p.contrast_sampled
    assert "80% power" in basis(p, SHAPE)


def test_more_data_never_shows_less():
    shapes = [replace(SHAPE, repeats=r) for r in (4, 8, 20)]
    found = [plan_power(s, stated()) for s in shapes]
    for key in ("contrast_sampled", "contrast_fixed", "half_width_fixed", "amplitude"):
        values = [getattr(p, key) for p in found]
        assert values == sorted(values, reverse=True), key
    assert [p.equivalence_power for p in found] == sorted(p.equivalence_power for p in found)
    assert len({p.equivalence_repeats for p in found}) == 1, "what is needed does not depend on what is planned"


def test_lines_for_a_reader():
    p = plan_power(replace(SHAPE, looks=2), stated())
    text = "\n".join(lines(p, SHAPE))
    for part in (
        "over tasks like these, whose interval would be ±", "on these very tasks", "repeats to find a contrast",
        "2 points 20, 3 points 12, 6 points 4", "a fall from 5.8 %", "no difference beyond ±2 points",
        "time of day: an amplitude of", "2 points take", "looks after dates (|z| that decides): 2 (2.96), 4 (1.97)",
    ):  # fmt: skip
        assert part in text, text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": 1, "repeats": 8}, "on this very task"),
        ({"tasks": 2, "repeats": 4, "buckets": 1}, "no fall can be shown"),
        ({"dates": 1}, "no swing can be shown on 1 date(s)"),
        ({"repeats": 48}, "shown with over 99%"),
        ({"looks": 4, "dates": 40, "repeats": 40}, "40 (2.01)"),
        ({"looks": 40, "dates": 40, "repeats": 40}, "1 (never)"),
    ],
)
def test_lines_of_poor_and_rich_designs(change, says):
    shape = replace(SHAPE, **change)
    assert says in "\n".join(lines(plan_power(shape, stated()), shape))


def test_what_cannot_be_is_said_and_not_a_number():
    alone = replace(SHAPE, tasks=1)
    p = plan_power(alone, stated())
    assert smallest(p) is None
    assert "add tasks" in basis(p, alone)
    tiny = PlanSize(tasks=2, repeats=1, buckets=1, dates=1, arms=2)
    q = plan_power(tiny, stated())
    assert smallest(q) is None
    assert "not even 100 points" in basis(q, tiny)
    assert q.contrast_fixed is None
    varied = plan_power(SHAPE, Assumed(Noise(0.3, 0.04), 0.15, None, "x"))
    text = "\n".join(lines(varied, SHAPE))
    assert "2 points -" in text
    assert "add tasks" in text
    assert "the pilot saw none" in text
    for numbers in (asdict(p), asdict(q), asdict(varied)):
        assert all(v is None or not isinstance(v, float) or math.isfinite(v) for v in numbers.values())


def test_rates_outside_0_and_1_are_refused():
    for bad in ({"rate": 0.0}, {"rate": 1.2}, {"infra": 1.0}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            stated(**bad)
