"""No sentence claims more than the tests of its own report, over the whole family; what it claims it marks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raysweep.stats import analyse, simulate
from raysweep.stats.facet import FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.significance import significance
from raysweep.stats.findings.together import together
from raysweep.stats.methods.interval import Draws
from raysweep.stats.simulate import SimArm, Truth, cube_of, draw
from raysweep.stats.verdict import verdict

BANDS = ("1x", "1.5x", "2x", "3x", "5x", "uncapped")
HOW = Draws(seed=3, replicates=1000, level=0.95)


def ledger(effect=0.0, *, tasks=20, repeats=3, seed=1, dates=1):
    arms = tuple(SimArm("m", b, 0.5 + (effect if b == "uncapped" else 0.0)) for b in BANDS)
    truth = Truth(arms=arms, tasks=tasks, repeats=repeats, dates=dates)
    rng = np.random.default_rng(seed)
    return truth, simulate.tables_of(truth, draw(truth, rng), rng)


def analysed(effect=0.0, *, keep=None, **more):
    given = {k: more.pop(k) for k in ("registered", "simulated", "looks", "contrasts") if k in more}
    truth, (table, planned) = ledger(effect, **more)
    return analyse(table[:keep], planned, design=truth.design(replicates=1000, **given))


def null_findings(seed):
    truth = Truth(arms=tuple(SimArm("m", b, 0.5) for b in BANDS), tasks=20, repeats=3)
    cube, design = cube_of(truth, draw(truth, np.random.default_rng(seed))), truth.design()
    table = simulate.tables_of(truth, draw(truth, np.random.default_rng(seed)), np.random.default_rng(seed))[0]
    from raysweep.stats.cube import with_labels

    return [
        *band_contrasts(cube, design, HOW),
        *together(cube, design, HOW),
        *significance(cube, with_labels(table), design, HOW),
    ]


def test_six_equal_bands_are_seldom_told_apart_and_never_against_the_adjusted_test():
    """Each plain interval alone: a claim in about a fifth of such reports."""
    plain = claims = 0
    for seed in range(60):
        findings = null_findings(seed)
        said = [s for s in verdict(findings) if s.claim]
        plain += any(
            f.excludes_zero for f in findings if f.estimand == "success" and f.resampled_over == "tasks" and not f.facet
            and not f.bucket
        )  # fmt: skip
        claims += bool(said)
        assert all(s.p is not None and s.p <= 0.05 for s in said)
    assert plain >= 7
    assert claims <= 6


def test_simultaneous_intervals_are_wider_than_the_plain_ones_and_hold_every_registered_band():
    a = analysed(contrasts=("3x", "uncapped"))
    joint = {f.arm: f for f in a.findings if f.is_of(FacetKind.SIMULTANEOUS)}
    plain = {
        f.arm: f for f in a.findings
        if f.estimand == "success" and f.reference and f.resampled_over == "tasks" and not f.facet and not f.bucket
    }  # fmt: skip
    assert set(joint) == set(plain) == set(BANDS[1:])
    assert {band for band, f in joint.items() if f.registered} == {"3x", "uncapped"}
    assert "over 2 contrasts" in joint["3x"].method
    assert "over 5 contrasts" in joint["5x"].method
    for band, f in joint.items():
        assert f.value == plain[band].value
        assert f.high - f.low > plain[band].high - plain[band].low


def test_a_rare_contrast_has_its_own_method_at_the_level_of_its_share():
    arms = tuple(SimArm("m", b, s) for b, s in (("1x", 0.5), ("2x", 0.6), ("3x", 0.997)))
    truth = Truth(arms=arms, tasks=30, repeats=3)
    cube = cube_of(truth, draw(truth, np.random.default_rng(4)))
    joint = {f.arm: f for f in together(cube, truth.design(), HOW)}
    assert "max-t" in joint["2x"].method
    assert "Newcombe" in joint["3x"].method
    assert "97.5 %" in joint["3x"].method


def test_a_claim_says_what_it_rests_on_and_over_what():
    a = analysed(0.4, tasks=20, repeats=5)
    (said,) = (s for s in a.statements if "from 1x to uncapped" in s.text and "rises" in s.text)
    assert said.claim
    assert said.registered
    assert said.p is not None
    assert said.p <= 0.05
    assert set(said.findings) <= {f.id for f in a.findings}
    assert "all bands together" in said.text
    assert "for tasks like these on the dates that were run" in said.text
    assert "(" not in said.text.rsplit("run", 1)[1], "nothing to mark"


def test_with_dates_enough_the_claim_says_whether_it_holds_for_others():
    (said,) = (
        s.text
        for s in analysed(0.4, dates=4).statements
        if "success rises" in s.text and "from 1x to uncapped" in s.text
    )
    assert "on other such dates too (95 % +" in said


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"registered": False}, "(exploratory)"),
        ({"simulated": True}, "(simulated data)"),
        ({"contrasts": ("3x",)}, "(exploratory)"),
        ({"keep": -60}, "(exploratory, unfinished run)"),
        ({"keep": -60, "simulated": True}, "(exploratory, unfinished run, simulated data)"),
    ],
)
def test_what_weakens_a_claim_is_in_its_sentence(given, says):
    said = [s.text for s in analysed(0.4, repeats=5, **given).statements if "rises" in s.text and "from 1x" in s.text]
    assert said
    assert all(says in text for text in said), said


def test_an_interval_alone_is_no_claim_where_the_adjusted_test_disagrees():
    f = Finding("success", "m", "3x", "1x", None, None, 6.0, 1.0, 11.0, 0.95, "t", "tasks", 89, 1000, 3)
    test = replace(f, estimand="p_success", value=0.08, low=None, high=None, level=None)
    alone, both = verdict([f])[0], verdict([f, test])[0]
    assert alone.claim
    assert not both.claim
    assert "no difference shown between 1x and 3x (+6 points, 95 % +1 to +11, p = 0.080)" in both.text


def test_ids_of_findings_are_unique():
    a = analysed(dates=3, looks=2)
    names = [f.id for f in (*a.findings, *a.details)]
    assert len(set(names)) == len(names)


def test_repeated_intervals_of_looks_share_the_error_of_the_family():
    one = [f for f in analysed(dates=3, looks=3, contrasts=("3x",)).findings if f.is_of(FacetKind.LOOK)]
    every = [f for f in analysed(dates=3, looks=3).findings if f.is_of(FacetKind.LOOK) and f.arm == "3x"]
    assert len(one) == len(every) == 3
    assert "over 5 registered contrasts" in every[-1].method
    assert one[-1].value == every[-1].value
    assert every[-1].high - every[-1].low > one[-1].high - one[-1].low
