"""Verdicts per ceiling and the recommendation, on ledgers of a stated truth and on stated facts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raysweep.errors import InputError
from raysweep.report.calibration import calibration_document, calibration_sentences
from raysweep.stats import simulate
from raysweep.stats.calibrate import ADMISSIBLE, NONE, UNDECIDED, calibrate
from raysweep.stats.findings.calibrate import (
    AFTER_STOP,
    CHANGES,
    NOT_ENOUGH,
    TOO_TIGHT,
    WITHIN,
    Facts,
    judge,
    ladder,
)
from raysweep.stats.findings.ceiling import CeilingRule
from raysweep.stats.findings.limits import NOT_ENFORCED, Limits, ceilings_above, widest
from raysweep.stats.methods.interval import Draws

SMALL = simulate.Truth(
    arms=(
        simulate.SimArm("m", "1x", 0.5, 0.08, 1.0),
        simulate.SimArm("m", "2x", 0.5, 0.04, 2.0),
        simulate.SimArm("m", "5x", 0.62, 0.0, 5.0),
    ),
    tasks=30,
    repeats=60,
)


def tables(truth, seed=1, over=()):
    """A ledger whose trials stay below their limits, but for those of the bands `over`."""
    rng = np.random.default_rng(seed)
    table, planned = simulate.tables_of(truth, simulate.draw(truth, rng), rng)
    limits = table["limit_memory_asked"].to_numpy(zero_copy_only=False)
    loose = np.isin(np.array(table["band"].to_pylist()), over)
    peak = np.where(np.isnan(limits), 60e6, limits) * np.where(loose, 1.5, 0.9)
    at = table.schema.get_field_index("mem_anon_peak_bytes")
    return table.set_column(at, table.schema.field(at), pa.array(peak.astype(np.int64))), planned


def run(truth, seed=1, over=(), only=None, design=None, **asked):
    table, planned = tables(truth, seed, over)
    if only is not None:
        table = table.filter(pa.array([b in only for b in table["band"].to_pylist()]))
    return calibrate(table, planned, truth.design(replicates=1000, **(design or {})), **asked)


def verdicts(found, model=0):
    return {c.band: c.verdict for c in found.ladders[model].ceilings}


def study(k, seed=0, infra_max=None):
    truth = replace(simulate.STUDY, repeats=k)
    cube = simulate.cube_of(truth, simulate.draw(truth, np.random.default_rng(seed)))
    bands = [a.band for a in truth.arms]
    attempts = {("m", b): (int(cube.q[:, i].sum()), len(cube.q)) for i, b in enumerate(bands)}
    rule = CeilingRule("1x", tuple(bands[1:]), 0.02, infra_max, 0.05, {})
    return ladder(cube, "m", rule, Draws(1, 1000, 0.9), attempts)


def test_the_studys_shape_recommends_3x_and_says_so():
    found = study(120)
    assert found.recommended == "3x"
    assert found.passed == ("1.5x", "2x", "3x")
    assert [c.verdict for c in found.ceilings[:3]] == [WITHIN] * 3
    assert found.ceilings[3].verdict in {CHANGES, NOT_ENOUGH}
    assert found.ceilings[4].verdict == CHANGES, "said after the stop too"
    assert all(c.fall_p < 0.001 for c in found.ceilings)


def test_with_five_blocks_it_says_how_many_are_needed():
    found = study(5)
    assert found.recommended is None
    assert found.ceilings[0].verdict == NOT_ENOUGH
    assert 55 <= found.ceilings[0].needed <= 110
    assert {c.verdict for c in found.ceilings[1:]} <= {AFTER_STOP, CHANGES}


def test_infra_max_recommends_the_smallest_that_meets_it():
    first, second = (c.infra_rate for c in study(120).ceilings[:2])
    found = study(120, infra_max=(first.value + second.high) / 2)
    assert [c.verdict for c in found.ceilings[:3]] == [TOO_TIGHT, WITHIN, WITHIN]
    assert found.recommended == "2x"
    strict = study(120, infra_max=0.001)
    assert {c.verdict for c in strict.ceilings[:3]} == {TOO_TIGHT}
    assert strict.recommended is None


def test_a_rate_that_may_lie_above_infra_max_is_not_enough_data():
    rate = study(120).ceilings[2].infra_rate
    found = study(120, infra_max=(rate.value + rate.high) / 2)
    assert found.ceilings[2].verdict == NOT_ENOUGH
    assert found.ceilings[2].needed_for_rate > 120


OK = Facts(enforced=True, equivalent=True, beyond=False, fall=True, above=False, meets=True)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([OK, OK], [WITHIN, WITHIN]),
        ([replace(OK, fall=False), OK], [TOO_TIGHT, WITHIN]),
        ([replace(OK, above=True, meets=False), OK], [TOO_TIGHT, WITHIN]),
        ([replace(OK, meets=False), OK], [NOT_ENOUGH, WITHIN]),
        ([replace(OK, equivalent=False), OK, OK], [NOT_ENOUGH, AFTER_STOP, AFTER_STOP]),
        ([replace(OK, equivalent=False, beyond=True), OK], [CHANGES, AFTER_STOP]),
        ([replace(OK, equivalent=False), replace(OK, equivalent=False, beyond=True)], [NOT_ENOUGH, CHANGES]),
        ([OK, replace(OK, enforced=False), OK], [WITHIN, NOT_ENFORCED, AFTER_STOP]),
        ([replace(OK, equivalent=False, fall=False)], [NOT_ENOUGH]),
    ],
)
def test_the_fixed_sequence(facts, expected):
    assert judge(facts) == expected


def test_a_whole_ledger_gets_a_recommendation_a_document_and_sentences():
    found = run(SMALL, delta=0.05)
    assert (found.status, found.recommended) == (ADMISSIBLE, "2x")
    assert verdicts(found) == {"2x": WITHIN, "5x": CHANGES}
    said = calibration_sentences(found)
    assert said[0].startswith("Recommended: 2x, the largest ceiling within ±5 points of 1x")
    assert any(
        "2x is within the band: success differs by" in s and "infrastructure deaths fall from" in s for s in said
    )
    assert any("5x changes the benchmark" in s for s in said)
    assert any("not as registered: delta 5 points instead of 2" in s for s in said)
    document = json.loads(json.dumps(calibration_document(found, ["r"], {}), allow_nan=False))
    assert document["calibration"]["recommended"] == "2x"
    assert {f["estimand"] for f in document["findings"]} >= {"success", "q_trial", "infra_rate_resource"}


def test_tost_and_the_interval_of_the_finding_agree():
    found = run(SMALL, delta=0.05)
    for c in found.ladders[0].ceilings:
        assert c.equivalent == (c.difference.low > -5 and c.difference.high < 5)
        assert c.difference.level == pytest.approx(0.9)
        assert c.difference.resampled_over == "tasks fixed", "one date"
        assert c.difference_sampled.resampled_over == "tasks"


def test_equal_arms_are_too_tight_and_nothing_is_admissible():
    equal = replace(SMALL, arms=tuple(replace(a, success=0.5, infra=0.05) for a in SMALL.arms))
    found = run(equal, delta=0.05)
    assert set(verdicts(found).values()) == {TOO_TIGHT}
    assert (found.status, found.recommended) == (NONE, None)
    assert any("no fall of infrastructure deaths is shown" in s for s in calibration_sentences(found))


def test_a_limit_that_did_not_hold_is_refused_and_stops_the_ladder():
    found = run(SMALL, over=("2x",), delta=0.05)
    assert verdicts(found)["2x"] == NOT_ENFORCED
    assert found.recommended is None
    assert any("2x cannot be judged" in s and "not enforced" in s for s in calibration_sentences(found))
    assert set(verdicts(run(SMALL, over=("1x",), delta=0.05)).values()) == {NOT_ENFORCED}, "no floor, no contrast"


def test_enforcement_that_nothing_confirmed_is_said():
    calm = replace(SMALL, arms=(SMALL.arms[0], replace(SMALL.arms[1], infra=0.0)))
    found = run(calm, delta=0.05)
    assert found.recommended == "2x"
    said = " ".join(calibration_sentences(found))
    assert "that its limit was enforced is not confirmed" in said
    assert "nothing confirmed that the limit of 2x was enforced" in said


def two_models(second):
    return replace(SMALL, arms=(*SMALL.arms, *(replace(a, model="n", **second(a)) for a in SMALL.arms)))


def test_models_are_judged_alone_and_recommended_for_together():
    later = run(two_models(lambda _: {"success": 0.5}), delta=0.06)
    assert [one.recommended for one in later.ladders] == ["2x", "5x"]
    assert later.recommended == "2x", "the smaller of the two"


def test_a_model_that_never_dies_forbids_nothing_but_one_that_changes_forbids():
    calm = run(two_models(lambda _: {"success": 0.5, "infra": 0.0}), delta=0.05)
    assert (calm.ladders[1].recommended, calm.recommended) == (None, "2x")
    moved = run(two_models(lambda a: {"success": 0.5 if a.band == "1x" else 0.7}), delta=0.05)
    assert moved.ladders[0].recommended == "2x"
    assert (moved.recommended, moved.status) == (None, NONE)
    assert calibration_sentences(moved)[0].startswith("No ceiling above 1x is admissible")


def test_a_missing_band_stops_the_ladder_with_its_reason():
    found = run(SMALL, only=("1x", "5x"), delta=0.05)
    assert verdicts(found) == {"2x": NOT_ENOUGH, "5x": CHANGES}
    assert found.status == UNDECIDED
    assert any("2x: not enough data: no block has a result in both arms" in s for s in calibration_sentences(found))
    assert run(SMALL, only=("2x", "5x")).status == UNDECIDED


def test_floors_and_margins_that_make_no_sense_are_refused():
    for asked, says in (
        ({"floor": "9x"}, "1x, 2x, 5x"),
        ({"floor": "5x"}, "choose a lower floor"),
        ({"delta": 0.0}, "2pp"),
        ({"infra_max": 1.5}, "1%"),
    ):
        with pytest.raises(InputError, match=says):
            run(replace(SMALL, repeats=2), **asked)


def test_another_floor_is_the_start_of_the_ladder():
    found = run(SMALL, floor="2x", delta=0.05)
    assert list(verdicts(found)) == ["5x"]
    assert any("floor 2x instead of 1x" in c.message for c in found.cautions)


def test_bands_are_ordered_by_what_they_bound():
    inf = math.inf
    limits = {
        "a": Limits(5, 1, 1),
        "b": Limits(1, 1, 1),
        "c": Limits(inf, inf, 1),
        "d": Limits(2, 2, 1),
        "e": Limits(0.5, 4, 1),
    }
    assert ceilings_above(limits, ("a", "b", "c", "d", "e"), "b") == ("d", "a", "c")
    assert ceilings_above({b: Limits() for b in "abc"}, ("a", "b", "c"), "a") == ("b", "c")
    assert widest(limits, ("a", "d"), "memory") == ("a",)
    assert widest(limits, ("a", "d"), "cpu") == ("d",)


def test_numbers_are_finite_or_absent():
    found = run(replace(SMALL, tasks=1, repeats=2))
    for f in found.findings:
        assert all(v is None or math.isfinite(v) for v in (f.value, f.low, f.high))
        assert f.value is not None or f.warnings, f
