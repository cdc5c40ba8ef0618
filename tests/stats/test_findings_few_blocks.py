"""A handful of blocks is no evidence: intervals agree with the exact exchange of arms where few blocks differ."""

from __future__ import annotations

import numpy as np
import pytest

from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.methods.interval import Draws
from raysweep.stats.simulate import SimArm, Truth, cube_of, draw

HOW = Draws(seed=1, replicates=500, level=0.95)


def successes(tasks, repeats, seed, effect=0.0):
    arms = (SimArm("m", "1x", 0.5 - effect / 2, 0.0, 1.0), SimArm("m", "u", 0.5 + effect / 2, 0.0, None))
    truth = Truth(arms=arms, tasks=tasks, repeats=repeats, buckets=("a",))
    cube = cube_of(truth, draw(truth, np.random.default_rng(seed)))
    return [f for f in band_contrasts(cube, truth.design(), HOW) if f.estimand == "success"]


@pytest.mark.parametrize(("tasks", "repeats"), [(2, 1), (4, 1), (2, 2), (5, 1), (1, 5)])
def test_up_to_five_blocks_never_claim_an_effect(tasks, repeats):
    """2 / 2^5 = 6 %: no exchange of five blocks reaches 5 %."""
    findings = [f for seed in range(100) for f in successes(tasks, repeats, seed)]
    assert findings
    assert [f for f in findings if f.excludes_zero] == []


def test_what_was_widened_says_so():
    cautions = [
        c.message for seed in range(100) for f in successes(2, 1, seed) for c in f.warnings if c.code == "few_blocks"
    ]
    assert "2 blocks differ, and exchanging the arms within blocks gives p = 0.5: no claim" in cautions


def test_six_blocks_that_agree_are_evidence():
    findings = [f for seed in range(40) for f in successes(6, 1, seed, effect=0.99)]
    assert any(f.excludes_zero for f in findings)
