"""The registered rule on ledgers whose dates complete one after another, and what is said of other looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raysweep.stats import simulate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.design import is_registered
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.looks import looks
from raysweep.stats.findings.progress import progress
from raysweep.stats.findings.rates import infra_contrasts
from raysweep.stats.methods.interval import Draws
from raysweep.stats.stop import decide, peek_label
from support import truth as ledgers

ARMS = (
    simulate.SimArm("m", "1x", 0.45, 0.08, 1.0),
    simulate.SimArm("m", "3x", 0.45, 0.08, 3.0),
    simulate.SimArm("m", "uncapped", 0.65, 0.0, None),
)
TRUTH = simulate.Truth(arms=ARMS, tasks=30, repeats=2, buckets=("a", "b"), dates=6)


def made(truth=TRUTH, seed=3):
    rng = np.random.default_rng(seed)
    return simulate.tables_of(truth, simulate.draw(truth, rng), rng)


def until(table, dates, truth=TRUTH):
    return table.filter(pc.is_in(table["occasion"], value_set=pa.array(truth.date_labels[:dates], pa.string())))


def test_nothing_before_the_first_look_and_the_same_decision_ever_after():
    table, planned = made()
    design = TRUTH.design(looks=3, contrasts=("uncapped",))
    stops = [decide(until(table, d), planned, design) for d in range(7)]
    assert stops[:2] == [None, None]
    first = next(s for s in stops if s is not None)
    assert (first.looks, first.planned_dates) == (3, 6)
    assert first.dates == 2 * first.look
    assert stops.index(first) == first.dates, "a look comes when its dates are complete, not one later"
    assert all(s == first for s in stops[first.dates :]), "later data do not change what was decided"
    (found,) = first.findings
    assert (found.arm, found.reference, found.facet, found.unit) == (
        "uncapped",
        "1x",
        Facet(FacetKind.LOOK, int(first.look)),
        "points",
    )
    assert found.registered
    assert found.low > 0
    assert found.n_dates == first.dates
    assert "which is not 0" in first.reason
    assert decide(with_labels(table), with_labels(planned), design) == first, "labelled already or not"


def test_every_registered_contrast_must_be_decided():
    """3x does nothing: its interval neither excludes 0 nor is it narrow."""
    table, planned = made()
    assert decide(table, planned, TRUTH.design(looks=3, contrasts=("uncapped",))) is not None
    assert decide(table, planned, TRUTH.design(looks=3)) is None


def test_a_small_difference_is_decided_by_lying_within_delta():
    table, planned = made()
    stop = decide(table, planned, TRUTH.design(looks=3, contrasts=("3x",), delta=0.15))
    assert stop is not None
    assert "within the 15 points that count as none" in stop.reason
    assert max(abs(stop.findings[0].low), abs(stop.findings[0].high)) <= 15


@pytest.mark.parametrize("design", [{"looks": 0}, {"looks": 3, "registered": False}])
def test_without_registered_looks_nothing_is_decided(design):
    table, planned = made()
    assert decide(table, planned, TRUTH.design(contrasts=("uncapped",), **design)) is None


@pytest.mark.parametrize("primary", ["q_trial", "infra_rate", "success_given_clean"])
def test_other_primaries_have_looks_of_their_own(primary):
    table, planned = made()
    design = TRUTH.design(looks=3, primary=primary, contrasts=("uncapped",))
    stop = decide(table, planned, design)
    assert stop is not None
    assert stop.findings[0].estimand == ("infra_rate_resource" if primary == "infra_rate" else primary)
    assert (stop.findings[0].value < 0) == (primary != "success_given_clean")


@pytest.mark.parametrize("primary", ["success", "q_trial", "infra_rate", "success_given_clean"])
def test_the_last_look_estimates_what_the_registered_contrast_does(primary):
    table, planned = (with_labels(t) for t in made())
    design = TRUTH.design(looks=2, primary=primary)
    cube, how = build_cube(table, planned, design), Draws(seed=1, replicates=500, level=0.95)
    found = [
        f for f in (*band_contrasts(cube, design, how), *infra_contrasts(table, cube, design, how)) if f.registered
    ]
    last = looks(table, planned, design, progress(table, planned))[-1].findings
    assert [(f.model, f.arm) for f in last] == [("m", "3x"), ("m", "uncapped")]
    assert [f.value for f in last] == pytest.approx([f.value for f in found])
    assert [(f.n_tasks, f.n_attempts, f.estimand) for f in last] == [
        (f.n_tasks, f.n_attempts, f.estimand) for f in found
    ]


def test_an_unfinished_date_counts_for_nothing():
    table, planned = made()
    whole, design = until(table, 4), TRUTH.design(looks=3, contrasts=("uncapped",))
    last = pc.equal(whole["occasion"], TRUTH.date_labels[3])
    cut = pa.concat_tables([whole.filter(pc.invert(last)), whole.filter(last).slice(3)])
    assert progress(whole, planned).closed == 4
    at = progress(cut, planned)
    assert (at.closed, at.beyond, at.finished) == (3, True, False)
    assert looks(cut, planned, design, at) == looks(
        until(table, 3), planned, design, progress(until(table, 3), planned)
    )


def lose(table, occasion, rows=1):
    """The first final rows of a date as platform losses."""
    where = np.flatnonzero(np.asarray(pc.equal(table["occasion"], occasion)))[:rows]
    lost = np.zeros(len(table), dtype=bool)
    lost[where] = True
    mask = pa.array(lost)
    for name, value in (("outcome", "infra"), ("cause", "node_lost"), ("cause_class", "platform")):
        column = pc.if_else(mask, pa.scalar(value, pa.string()), table[name])
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def test_a_block_lost_for_good_keeps_its_date_open_only_until_the_next_has_begun():
    table, planned = made()
    lost = lose(table, TRUTH.date_labels[1])
    assert progress(until(lost, 2), planned).closed == 1
    assert progress(until(lost, 3), planned).closed == 3
    assert not progress(lost, planned).finished
    missing = lost.filter(
        pc.invert(pc.is_in(lost["block_id"], value_set=lost["block_id"].slice(0, 1).combine_chunks()))
    )
    assert progress(until(missing, 3), planned).closed == 0, "a block that never began keeps its date open"


def test_the_plan_of_a_run_directory_tells_dates_by_number():
    table, planned = made()
    number = pc.index_in(planned["occasion"], value_set=pa.array(TRUTH.date_labels, pa.string()))
    numbered = planned.drop_columns(["occasion"]).append_column("date", pc.add(pc.cast(number, pa.int64()), 1))
    design = TRUTH.design(looks=3, contrasts=("uncapped",))
    assert decide(table, numbered, design) == decide(table, planned, design)


def test_what_is_said_of_a_look():
    table, planned = made()
    design = TRUTH.design(looks=3, contrasts=("3x",))
    said = {d: peek_label(until(table, d), planned, design) for d in range(7)}
    assert said[0] is None, "nothing to look at"
    assert [said[d].code for d in range(1, 7)] == ["peek", "look", "peek", "look", "peek", "looks"]
    assert "looks are after 2, 4, 6" in said[1].message
    assert "when 4 dates are complete" in said[3].remedy
    assert "repeated intervals" in said[6].remedy
    assert {said[d].status for d in (1, 3, 5)} == {"warning"}
    found = TRUTH.design(looks=3, contrasts=("uncapped",))
    stop = decide(table, planned, found)
    assert stop.look < 3
    assert peek_label(until(table, stop.dates), planned, found).code == "stopped"
    assert peek_label(table, planned, found).code == "stopped"


def test_an_unfinished_sweep_without_looks_is_a_peek_and_a_finished_one_is_not():
    table, planned = made()
    design = TRUTH.design()
    label = peek_label(until(table, 3), planned, design)
    assert (label.code, label.status) == ("peek", "warning")
    assert "3 of 6 dates" in label.message
    assert peek_label(table, planned, design) is None
    lost = lose(table, TRUTH.date_labels[0])
    assert peek_label(lost, planned, design) is None, "blocks lost for good do not make the end a peek"
    over = peek_label(lost, planned, TRUTH.design(looks=3, contrasts=("3x",)))
    assert (over.code, "none decided" in over.message) == ("looks", True)


def test_poor_ledgers_are_never_decided_and_never_fail():
    table, planned = made()
    one_task = replace(TRUTH, tasks=1)
    same = replace(TRUTH, arms=tuple(replace(a, success=0.5) for a in ARMS), concentration=1e-9)
    none = planned.slice(0, 0)
    design = TRUTH.design(looks=3, contrasts=("uncapped",))
    assert decide(table.slice(0, 0), planned, design) is None
    assert decide(table.slice(0, 0), none, design) is None
    assert peek_label(table.slice(0, 0), none, design) is None
    assert decide(*made(one_task), design) is None
    absent = table.filter(pc.not_equal(table["band"], "uncapped"))
    assert decide(absent, planned, design) is None
    for truth in (one_task, same):
        t, p = made(truth)
        found = looks(t, p, design, progress(t, p))
        assert len(found) == 3
        assert all(f.warnings for look in found for f in look.findings if f.low is None)


def test_a_plan_without_dates_counts_as_one_date():
    stated = ledgers.Truth(success={("m", "1x"): 0.1, ("m", "3x"): 0.9}, tasks=20, repeats=3)
    rows = ledgers.rows(stated)
    stop = decide(ledgers.table(rows), ledgers.planned(rows), stated.design(looks=1))
    assert (stop.look, stop.dates, stop.planned_dates) == (1, 1, 1)
    assert progress(ledgers.table(rows[:-1]), ledgers.planned(rows)).closed == 0


def test_equal_arms_are_said_to_differ_in_at_most_alpha():
    """Whole ledgers, looked at after each of three dates."""
    truth = replace(TRUTH, arms=ARMS[:2], tasks=12, repeats=1, buckets=("all",), dates=3)
    design, studies = truth.design(looks=3, delta=0.001), 80
    claimed = sum(decide(*made(truth, seed), design) is not None for seed in range(studies))
    assert claimed / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_what_is_registered():
    design = TRUTH.design(contrasts=("uncapped",))
    assert is_registered(design, "success", "uncapped", "1x", None)
    for other in (
        ("q_trial", "uncapped", "1x", None), ("success", "3x", "1x", None), ("success", "uncapped", "3x", None),
        ("success", "uncapped", "1x", "a"), ("success", "uncapped", None, None), ("success", None, "1x", None),
        ("success", "1x", "1x", None),
    ):  # fmt: skip
        assert not is_registered(design, *other), other
    assert is_registered(TRUTH.design(), "success", "3x", "1x", None), "no list: every band"
    assert not is_registered(TRUTH.design(registered=False), "success", "3x", "1x", None)
    assert is_registered(TRUTH.design(primary="infra_rate"), "infra_rate_resource", "3x", "1x", None)
    assert not is_registered(TRUTH.design(primary="infra_rate"), "infra_rate_platform", "3x", "1x", None)
