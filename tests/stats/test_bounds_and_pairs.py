"""Parts of a change with confidence intervals, and contrasts between any two bands."""

from __future__ import annotations

import numpy as np
import pytest

from raysweep.stats.facet import FacetKind
from raysweep.stats.findings.decompose import decompose
from raysweep.stats.findings.together import between
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.partial import critical, level_of
from raysweep.stats.simulate import SimArm, Truth, cube_of, draw
from raysweep.stats.verdict import verdict

HOW = Draws(seed=3, replicates=1000, level=0.95)
BANDS = (("1x", 0.45), ("3x", 0.45), ("5x", 0.45), ("uncapped", 0.75))


def made(bands=BANDS, repeats=5, infra=(0.06, 0.02, 0.01, 0.0), seed=2):
    arms = tuple(SimArm("m", b, s, q) for (b, s), q in zip(bands, infra, strict=False))
    truth = Truth(arms=arms, tasks=40, repeats=repeats)
    return truth, cube_of(truth, draw(truth, np.random.default_rng(seed)))


def test_the_critical_value_goes_from_both_sides_to_one():
    assert critical(0.0, 1.0, 0.95) == pytest.approx(1.95996, abs=1e-4)
    assert critical(100.0, 1.0, 0.95) == pytest.approx(1.64485, abs=1e-4)
    assert critical(3.0, 0.0, 0.95) == pytest.approx(1.95996, abs=1e-4)
    assert 1.64485 < critical(1.0, 1.0, 0.95) < critical(0.5, 1.0, 0.95) < 1.95996
    assert level_of(1.95996) == pytest.approx(0.95, abs=1e-5)


def test_the_parts_have_intervals_that_hold_their_bounds():
    truth, cube = made()
    found = list(decompose(cube, truth.design(), HOW))
    for estimand in ("rescued", "other_successes"):
        plain, sure = (
            [f for f in found if f.estimand == estimand and f.arm == "uncapped" and f.is_of(FacetKind.BOUNDS) == with_]
            for with_ in (False, True)
        )
        (bounds,), (interval,) = plain, sure
        assert (bounds.level, interval.level) == (None, 0.95)
        assert interval.low <= bounds.low
        assert bounds.high < interval.high
    rescued = next(f for f in found if f.estimand == "rescued" and f.arm == "uncapped" and f.is_of(FacetKind.BOUNDS))
    assert rescued.low == 0.0, "fewer deaths: nothing below 0 by the assumption"


def test_every_pair_of_other_bands_is_contrasted_adjacent_ones_first():
    truth, cube = made()
    found = list(between(cube, truth.design(), HOW))
    assert [(f.reference, f.arm) for f in found] == [("3x", "5x"), ("5x", "uncapped"), ("3x", "uncapped")]
    assert all("simultaneous over 3 contrasts" in f.method for f in found)
    assert not any(f.registered for f in found)
    rises = {(f.reference, f.arm) for f in found if f.excludes_zero}
    assert rises == {("5x", "uncapped"), ("3x", "uncapped")}
    said = [s for s in verdict(found) if s.claim]
    assert len(said) == 2
    assert all("all pairs of bands together" in s.text and "(exploratory)" in s.text for s in said)


def test_where_no_pair_differs_the_widest_is_said_without_a_claim():
    truth, cube = made(bands=tuple((b, 0.45) for b, _ in BANDS), infra=(0.0,) * 4)
    (said,) = verdict(list(between(cube, truth.design(), HOW)))
    assert not said.claim
    assert "no difference shown between any two other bands (most from" in said.text


def test_two_bands_have_no_other_pair():
    truth, cube = made(bands=BANDS[:2])
    assert list(between(cube, truth.design(), HOW)) == []
