"""Power formulas against simulated studies, the guide's figures and brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as some

from raysweep.stats import simulate
from raysweep.stats.methods.interval import tasks_fixed
from raysweep.stats.methods.power import (
    Noise,
    blocks_for,
    detectable_effect,
    equivalence_blocks,
    equivalence_power,
    fall_power,
    fewest,
    reach,
    smallest_amplitude,
    smallest_fall,
    stated_noise,
    trial_variance,
)
from raysweep.stats.methods.rare import newcombe
from raysweep.stats.methods.variance import dates_for

GUIDE = stated_noise(0.45, concentration=1.2)
"""The difficulty behind the guide's figures: a block's difference has variance 0.27 within its task."""


def two(effect=0.0, **more):
    arms = (simulate.SimArm("m", "1x", 0.45), simulate.SimArm("m", "3x", 0.45 + effect))
    return replace(simulate.Truth(arms=arms), **more)


def differences(truth, rng):
    """(T, blocks) arm minus reference of one study."""
    passed = simulate.draw(truth, rng).passed.astype(float)
    return (passed[:, 1] - passed[:, 0]).reshape(truth.tasks, -1)


def near(seen, expected, studies, *, errors=3.0):
    """Assert that a share of simulated studies is the computed one, within three standard errors."""
    assert abs(seen - expected) <= errors * math.sqrt(max(expected * (1 - expected), 0.01) / studies), (seen, expected)


def simulated_noise(effect, rate=0.45):
    """Moments of what `simulate` does: 1 - p of a beta (a + b = 2) task shrinks by one factor in the better arm."""
    fail, square = 1 - rate, (1 - rate) ** 2 + rate * (1 - rate) / 3
    left = 1 - effect / fail
    arm = left * fail - left**2 * square
    return Noise(trial_variance(rate) + arm, (effect / fail) ** 2 * (square - fail**2))


@pytest.mark.parametrize(("tasks", "blocks"), [(89, 6), (20, 4)])
def test_the_detectable_contrast_is_found_with_the_stated_power(tasks, blocks):
    rng, studies = np.random.default_rng(tasks), 400
    noise = stated_noise(0.45)
    for _ in range(20):  # the noise depends a little on the effect
        found = reach(noise, tasks, blocks, fixed=False, level=0.95, power=0.8)
        noise = simulated_noise(found.effect)
    truth = two(found.effect, tasks=tasks, repeats=blocks)
    means = np.stack([differences(truth, rng).mean(axis=1) for _ in range(studies)])
    p = st.ttest_1samp(means, 0.0, axis=1).pvalue
    near(float(np.mean(p < 0.05)), 0.8, studies)
    widths = st.t.ppf(0.975, tasks - 1) * means.std(axis=1, ddof=1) / math.sqrt(tasks)
    assert widths.mean() == pytest.approx(found.half_width, rel=0.03)


def test_tasks_fixed_is_found_with_the_stated_power():
    """The same 30 tasks in every study, with a fall that every task shares: only repeats make noise."""
    rng, studies, blocks = np.random.default_rng(5), 500, 5
    p = rng.uniform(0.3, 0.7, 30)
    noise = Noise(float(np.mean(2 * p * (1 - p) - 2 * 0.06**2)))
    found = reach(noise, 30, blocks, fixed=True, level=0.95, power=0.8)
    claimed = 0
    for _ in range(studies):
        low, high = p - found.effect / 2, p + found.effect / 2
        d = (rng.random((blocks, 30)) < high).astype(float) - (rng.random((blocks, 30)) < low)
        interval = tasks_fixed(d.mean(axis=0), d.var(axis=0, ddof=1), np.full(30, blocks), 0.95)
        claimed += interval.low > 0
    near(claimed / studies, 0.8, studies)


def test_tost_has_the_power_that_the_guide_measured():
    powers = [equivalence_power(GUIDE, 89, k, 0.02, alpha=0.05, fixed=True) for k in (20, 40, 65, 120)]
    assert powers == pytest.approx([0.0, 0.48, 0.80, 0.98], abs=0.01)
    assert equivalence_blocks(GUIDE, 89, 0.02, alpha=0.05, fixed=True) == 65
    assert equivalence_blocks(GUIDE, 89, 0.02, alpha=0.05, fixed=False) in {65, 66}


def test_tost_power_agrees_with_simulated_studies():
    truth, rng, studies, passed = two(tasks=89, repeats=40, concentration=1.2), np.random.default_rng(7), 250, 0
    for _ in range(studies):
        d = differences(truth, rng)
        interval = tasks_fixed(d.mean(axis=1), d.var(axis=1, ddof=1), np.full(89, 40), 0.90)
        passed += max(-interval.low, interval.high) < 0.02
    near(passed / studies, equivalence_power(GUIDE, 89, 40, 0.02, alpha=0.05, fixed=True), studies)


@pytest.mark.parametrize(("before", "after", "trials"), [(0.058, 0.01, 178), (0.05, 0.0, 100), (0.3, 0.2, 300)])
def test_power_to_show_a_fall_is_how_often_newcombe_shows_it(before, after, trials):
    rng, studies = np.random.default_rng(trials), 1500
    k0, k1 = rng.binomial(trials, before, studies), rng.binomial(trials, after, studies)
    shown = [newcombe(b / trials, trials, a / trials, trials, level=0.95)[1] < 0 for a, b in zip(k0, k1, strict=True)]
    near(float(np.mean(shown)), fall_power(before, after, trials, level=0.95), studies)


def test_the_smallest_fall_has_the_power_and_no_smaller_one_has():
    after = smallest_fall(0.058, 534, level=0.95, power=0.8)
    assert after is not None
    assert fall_power(0.058, after, 534, level=0.95) >= 0.8
    assert fall_power(0.058, after + 0.003, 534, level=0.95) < 0.8
    assert smallest_fall(0.058, 20, level=0.95, power=0.8) is None
    assert smallest_fall(0.0, 1000, level=0.95, power=0.8) is None
    falls = [smallest_fall(0.058, n, level=0.95, power=0.8) for n in (300, 1000, 40_000)]
    assert falls == sorted(falls)
    assert 0.05 < falls[-1] < 0.058


@pytest.mark.parametrize(("dates", "trials", "measured"), [(7, 1, 0.26), (7, 2, 0.46), (7, 6, 0.86), (14, 2, 0.83)])
def test_the_amplitude_of_the_guides_power_table(dates, trials, measured):
    noise = 0.01**2 + trial_variance(0.45, 1.2) / (89 * trials)
    assert smallest_amplitude(noise, 4, dates, level=0.95, power=measured) == pytest.approx(0.02, abs=0.0004)


def test_the_amplitude_is_found_as_often_as_stated():
    trials, dates, studies, rng = 4, 7, 400, np.random.default_rng(11)
    noise = 0.01**2 + trial_variance(0.45) / (60 * trials)
    size = smallest_amplitude(noise, 4, dates, level=0.95, power=0.8)
    waves = tuple(size * math.cos(2 * math.pi * (b + 0.5) / 4) for b in range(4))
    truth = two(tasks=60, repeats=2, buckets=tuple("abcd"), dates=dates, bucket_effects=waves, occasion_sd=0.01)
    found = 0
    for _ in range(studies):
        o = simulate.draw(truth, rng)
        cell = o.bucket * dates + o.date
        m = (np.bincount(cell, o.passed.mean(axis=1)) / np.bincount(cell)).reshape(4, dates)
        rest = m - m.mean(axis=1, keepdims=True) - m.mean(axis=0) + m.mean()
        ratio = dates * m.mean(axis=1).var(ddof=1) / (np.sum(rest**2) / (3 * (dates - 1)))
        found += st.f.sf(ratio, 3, 3 * (dates - 1)) < 0.05
    near(found / studies, 0.8, studies)
    assert smallest_amplitude(noise, 1, 7, level=0.95, power=0.8) is None
    assert smallest_amplitude(noise, 4, 1, level=0.95, power=0.8) is None


def test_dates_and_amplitude_are_each_others_inverse():
    noise = 0.01**2 + 0.135 / 178
    need = dates_for(noise, 4, rms=0.02 / math.sqrt(2), level=0.95)
    assert smallest_amplitude(noise, 4, need, level=0.95, power=0.8) <= 0.02
    assert smallest_amplitude(noise, 4, need - 1, level=0.95, power=0.8) > 0.02


@settings(max_examples=40, deadline=None)
@given(some.integers(2, 200), some.floats(0.05, 0.5), some.floats(0, 0.02), some.floats(0.02, 0.3), some.booleans())
def test_blocks_for_is_the_fewest(tasks, block, effect, goal, fixed):
    noise = Noise(block, effect)
    for aim in ("effect", "half_width"):
        k = blocks_for(noise, tasks, level=0.95, fixed=fixed, **{aim: goal})
        if k is None:
            beyond = reach(noise, tasks, 100_000, fixed=fixed, level=0.95, power=0.8)
            assert getattr(beyond, aim) > goal
            continue
        assert getattr(reach(noise, tasks, k, fixed=fixed, level=0.95, power=0.8), aim) <= goal
        less = reach(noise, tasks, k - 1, fixed=fixed, level=0.95, power=0.8) if k > 1 else None
        assert less is None or getattr(less, aim) > goal


def test_what_repeating_cannot_do_is_none():
    varied = Noise(0.3, 0.1**2)  # 20 tasks whose effects differ by 10 points
    assert blocks_for(varied, 20, level=0.95, fixed=False, effect=0.02) is None
    assert blocks_for(varied, 20, level=0.95, fixed=True, effect=0.02) is not None
    assert blocks_for(varied, 1, level=0.95, fixed=False, half_width=0.5) is None
    assert reach(varied, 5, 1, fixed=True, level=0.95, power=0.8) is None
    assert equivalence_blocks(varied, 20, 0.02, alpha=0.05, fixed=False) is None
    assert equivalence_power(varied, 1, 50, 0.02, alpha=0.05, fixed=False) == 0.0


def test_fewest_finds_the_first():
    for least in (1, 2, 3, 7, 8, 9, 1000):
        assert fewest(lambda n, least=least: n >= least) == least
    assert fewest(lambda _: False) is None


def test_detectable_effect_says_what_it_rests_on():
    d = detectable_effect(20, 4, buckets=2, rate=0.4, effect_sd=0.1)
    expected = reach(stated_noise(0.4, effect_sd=0.1), 20, 8, fixed=False, level=0.95, power=0.8)
    assert (d.effect, d.half_width) == pytest.approx((100 * expected.effect, 100 * expected.half_width))
    assert "mean success of 40%" in d.sentence
    assert "varying by 10 points" in d.sentence
    with pytest.raises(ValueError, match="at least 1"):
        detectable_effect(20, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        detectable_effect(20, 1, rate=1.0)
