"""Time of day, rhythms, mechanism and band x bucket as findings: what they say, and that poor cubes say why not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from raysweep.stats import simulate
from raysweep.stats.cube import build_cube, with_labels
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.findings.bucketcontrast import band_by_bucket, bucket_contrasts
from raysweep.stats.findings.mechanism import mechanism, overlapping
from raysweep.stats.findings.occasions import occasions
from raysweep.stats.findings.rhythm import day_of, rhythm_details, rhythms, weekday_of
from raysweep.stats.findings.timeofday import time_of_day, time_of_day_details
from raysweep.stats.methods.interval import Draws
from support import truth as ledger

BUCKETS = ("night", "morning", "noon", "evening")
HOURS = (3.0, 9.0, 15.0, 21.0)
TWO = (simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.5))
HOW = Draws(seed=1, replicates=500, level=0.95)
COSINE = tuple(0.08 * math.cos(2 * math.pi * (h - 21) / 24) for h in HOURS)
BASE = simulate.Truth(arms=TWO, tasks=30, repeats=1, buckets=BUCKETS, dates=4)


def cube_of(truth=BASE, seed=1, **more):
    return replace(simulate.cube_of(truth, simulate.draw(truth, np.random.default_rng(seed))), **more)


def design(truth=BASE, **more):
    return truth.design(**({"bucket_hours": HOURS} | more))


def everything(cube, how=None):
    """All findings of this package's functions."""
    stated = how or design()
    return [
        *time_of_day(cube, 0.95, 1.0, 3), *time_of_day_details(cube, 0.95, 3), *rhythms(cube, stated),
        *rhythm_details(cube, stated), *band_by_bucket(cube, stated, HOW), *bucket_contrasts(cube, HOW),
    ]  # fmt: skip


def one(findings, **wanted):
    found = [f for f in findings if all(getattr(f, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def codes(f):
    return {w.code for w in f.warnings}


def without(cube, drop):
    """The cube without the blocks of the mask."""
    keep = ~drop
    rows = {n: getattr(cube, n)[keep] for n in ("y", "q", "present", "first_platform", "task", "bucket", "date")}
    return replace(cube, **rows, blocks=tuple(b for b, k in zip(cube.blocks, keep, strict=True) if k))


def test_a_real_effect_is_claimed_with_both_tests_and_no_wish_for_dates():
    cube = cube_of(replace(BASE, bucket_effects=COSINE))
    found = list(time_of_day(cube, 0.95, -3.0, 3))
    f = one(found, estimand="time_of_day")
    assert 0 < f.low < f.value < f.high
    assert f.value == pytest.approx(8 / math.sqrt(2), abs=3)
    assert "F(3, 9)" in f.method
    assert "permuted within dates p = " in f.method
    assert f.warnings == ()
    assert (f.n_tasks, f.n_attempts, f.n_dates, f.resampled_over) == (30, 960, 4, "dates")
    names = ["time_of_day", "time_of_day_range", "occasion_sd", "date_sd", "repeat_sd", "band_effect"]
    assert [g.estimand for g in found] == names
    assert {g.unit for g in found} == {"points"}
    assert found[1].value >= 2 * f.value * 0.8  # the range of four buckets is at least twice their RMS, noise aside
    assert found[-1].value == 3.0


def test_an_absent_effect_is_not_claimed_and_the_missing_dates_are_named():
    f = one(time_of_day(cube_of(seed=4), 0.95, None, 3), estimand="time_of_day")
    assert f.low == 0
    assert "few_occasions" in codes(f)
    assert "more) would find a swing of 2 points" in f.warnings[0].remedy


def test_variances_keep_their_sign_in_the_details():
    cube = next(c for c in (cube_of(seed=s) for s in range(50))
                if one(time_of_day_details(c, 0.95), estimand="var_bucket").value < 0)  # fmt: skip
    shown = one(time_of_day(cube, 0.95, None), estimand="time_of_day")
    signed = one(time_of_day_details(cube, 0.95), estimand="var_bucket")
    assert shown.value == 0
    assert f"{signed.value:.2g} points squared" in shown.method
    assert signed.unit == "points^2"
    assert signed.high == pytest.approx(shown.high**2)
    kinds = {str(f.facet) for f in time_of_day_details(cube, 0.95) if f.estimand == "time_of_day_p"}
    assert kinds == {"test permutation", "test F"}


@pytest.mark.parametrize("dates", [0, 1])
def test_without_a_second_date_it_says_how_many_are_needed(dates):
    cube = cube_of(replace(BASE, dates=1))
    cube = cube if dates else without(cube, cube.bucket == 2)
    f = one(time_of_day(cube, 0.95, None), estimand="time_of_day")
    assert f.value is None
    assert codes(f) == {"one_date"}
    assert f"{dates} date(s)" in f.warnings[0].message
    assert "would find a swing of 2 points" in f.warnings[0].remedy


def test_a_date_cut_short_is_left_out_and_said():
    cube = cube_of()
    cut = without(cube, (cube.date == 3) & (cube.task > 5) & (cube.bucket > 0))
    f = one(time_of_day(cut, 0.95, None), estimand="time_of_day")
    assert "partial_dates" in codes(f)
    whole = one(time_of_day(without(cube, cube.date == 3), 0.95, None), estimand="time_of_day")
    assert (f.value, f.low, f.high) == pytest.approx((whole.value, whole.low, whole.high))


def test_missing_cells_do_not_make_hard_tasks_an_occasion():
    truth = replace(BASE, tasks=60, dates=6, concentration=0.3)
    cube = cube_of(truth, seed=2)
    hard = np.argsort(cube.task_means(cube.y.mean(axis=1), np.ones(len(cube.task), bool))[0])[:20]
    gone = without(cube, np.isin(cube.task, hard) & ((cube.date + cube.bucket) % 2 == 0))
    of = {f.estimand: f for f in time_of_day(gone, 0.95, None)}
    naive = np.array([gone.y[(gone.bucket == b) & (gone.date == d)].mean() for b in range(4) for d in range(6)])
    assert naive.std() > 0.08
    assert of["occasion_sd"].low == 0
    assert of["occasion_sd"].value < 5


def test_few_tasks_in_each_occasion_are_said():
    cube = cube_of(replace(BASE, tasks=40))
    thin = without(cube, ((cube.task + cube.date) % 4 != cube.bucket) & (cube.task % 4 != cube.bucket))
    of = {f.estimand: f for f in time_of_day(thin, 0.95, None)}
    assert "sparse_occasions" in codes(of["occasion_sd"])
    assert "sparse_occasions" in codes(of["date_sd"])
    assert not codes({f.estimand: f for f in time_of_day(cube, 0.95, None)}["date_sd"])


def poor_cubes():
    cube = cube_of()
    n = len(cube.task)
    flat = np.full(cube.y.shape, 0.5)
    apart = without(cube, (cube.task % 2 == 0) != (cube.date % 2 == 0))
    return {
        "zero rows": without(cube, np.ones(n, bool)),
        "no buckets, no dates": replace(without(cube, np.ones(n, bool)), buckets=(), dates=(), tasks=()),
        "one task": cube_of(replace(BASE, tasks=1)),
        "one task, one block each": cube_of(replace(BASE, tasks=1, dates=2)),
        "one bucket": cube_of(replace(BASE, buckets=("all",))),
        "one date": cube_of(replace(BASE, dates=1)),
        "two of everything": cube_of(replace(BASE, tasks=2, dates=2, buckets=BUCKETS[:2])),
        "all equal": replace(cube, y=flat),
        "all equal, 14 dates": cube_of(replace(BASE, arms=TWO[:1], dates=14, tasks=2, bucket_effects=(1.0,) * 4)),
        "missing arm": replace(cube, y=np.column_stack([cube.y[:, 0], np.full(n, np.nan)])),
        "no arm": replace(cube, y=np.full(cube.y.shape, np.nan)),
        "no common tasks": apart,
        "one arm": cube_of(replace(BASE, arms=TWO[:1])),
        "rewards beyond 1": replace(cube, y=cube.y * 70),
        "cycles": replace(cube, dates=tuple(f"2026-02-05 c{d + 1}" for d in range(4))),
    }


@pytest.mark.parametrize("case", list(poor_cubes()))
def test_poor_cubes_get_a_caution_and_no_nan(case):
    found = everything(poor_cubes()[case])
    assert found
    for f in found:
        if f.value is None:
            assert f.warnings, f
        assert all(w.message and w.remedy for w in f.warnings)
        if f.low is not None:
            assert f.low <= f.high


def test_what_poor_cubes_say():
    said = {c: one(time_of_day(cube, 0.95, None), estimand="time_of_day") for c, cube in poor_cubes().items()}
    assert codes(said["zero rows"]) == codes(said["no arm"]) == {"no_data"}
    assert codes(said["one bucket"]) == {"one_bucket"}
    assert codes(said["no common tasks"]) == {"occasions_apart"}
    assert "no_spread" in codes(said["all equal"])
    assert said["all equal"].value == 0
    assert said["missing arm"].value is not None
    assert said["rewards beyond 1"].high > 50


def test_the_peak_hour_is_found_only_where_there_is_one():
    strong = replace(BASE, bucket_effects=COSINE, dates=6, tasks=60)
    found = list(rhythms(cube_of(strong), design(strong)))
    peak = one(found, estimand="peak_hour")
    assert peak.low <= 21 <= peak.high
    assert 0 <= peak.value < 24
    amplitude = one(found, estimand="daily_amplitude")
    assert amplitude.low <= 8 / (math.sin(math.pi / 4) / (math.pi / 4)) <= amplitude.high
    assert codes(one(found, estimand="weekly_amplitude")) == {"few_days"}
    assert "8 more complete" in one(found, estimand="weekly_amplitude").warnings[0].remedy
    assert 0.3 < one(found, estimand="rhythm_share").value <= 1
    none = list(rhythms(cube_of(), design()))
    assert codes(one(none, estimand="peak_hour")) == {"no_peak_hour"}
    assert one(none, estimand="daily_amplitude").value is None
    assert "not excluded" in one(none, estimand="daily_amplitude").warnings[0].message


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"bucket_hours": ()}, "no_hours"),
        ({"period_hours": 1 / 30}, "not_a_day"),
        ({"bucket_hours": (1.0, 2.0, 3.0, 4.0)}, "few_windows"),
    ],
)
def test_without_hours_of_a_day_there_is_no_daily_rhythm(more, code):
    found = list(rhythms(cube_of(), design(**more)))
    assert [f.estimand for f in found] == ["daily_amplitude"]
    assert codes(found[0]) == {code}


def test_uneven_windows_are_said():
    found = rhythms(cube_of(), design(bucket_hours=(3.0, 8.0, 15.0, 21.0)))
    assert "uneven_windows" in codes(one(found, estimand="daily_amplitude"))


def test_two_weeks_bring_the_week_and_the_periodogram():
    two_weeks = replace(BASE, dates=14, tasks=60, bucket_effects=COSINE)
    cube = cube_of(two_weeks)
    found = {f.estimand: f for f in rhythms(cube, design(two_weeks))}
    assert found["rhythm_period"].value == pytest.approx(24, rel=0.03)
    assert found["weekly_amplitude"].value is None
    assert "no_rhythm" in codes(found["weekly_amplitude"])
    assert found["daily_by_weekly"].low == 0
    details = list(rhythm_details(cube, design(two_weeks)))
    assert sum(f.estimand == "periodogram" for f in details) > 40
    assert one(details, facet=Facet(FacetKind.WEEKDAY, "Monday")).value == pytest.approx(0.5, abs=0.1)
    cycles = replace(cube, dates=tuple(f"2026-02-05 c{d + 1:02d}" for d in range(14)))
    weekly = one(rhythms(cycles, design(two_weeks)), estimand="weekly_amplitude")
    assert codes(weekly) == {"no_days"}


def test_labels_of_dates():
    assert weekday_of("2026-02-05") == weekday_of("2026-02-05 c2") == "Thursday"
    assert weekday_of("cycle 3") is None
    assert day_of("2026-02-05 c2") is None
    assert day_of("2026-02-09") - day_of("2026-02-05") == 4
    assert day_of("2026-02-02") % 7 == 0


def test_bands_that_the_hour_moves_differently():
    def omnibus(effect):
        cube = cube_of(replace(BASE, tasks=60))
        y = cube.y.copy()
        y[:, 1] = np.where((cube.bucket == 0) & (np.arange(len(y)) % 10 < 10 * effect), 1.0, y[:, 1])
        return one(band_by_bucket(replace(cube, y=y), design(), HOW), estimand="band_by_bucket")

    moved, same = omnibus(0.6), omnibus(0.0)
    assert moved.low > 0
    assert same.low == 0
    assert (moved.model, moved.facet) == ("m", Facet(FacetKind.BAND_BY_BUCKET))
    assert "F(3, 9)" in moved.method


def test_each_model_gets_its_own_omnibus_where_there_are_several():
    arms = (*TWO, simulate.SimArm("other", "1x", 0.5), simulate.SimArm("other", "3x", 0.5))
    cube = cube_of(replace(BASE, arms=arms, tasks=40))
    y = cube.y.copy()
    y[:, 2:] = np.where((cube.bucket == 1)[:, None], 1.0, y[:, 2:])
    found = list(band_by_bucket(replace(cube, y=y), design(), HOW))
    assert one(found, estimand="time_of_day_by_model", model="other").low > 5
    assert one(found, estimand="time_of_day_by_model", model="m").low == 0
    assert not [f for f in band_by_bucket(cube_of(), design(), HOW) if f.estimand == "time_of_day_by_model"]


def test_an_arm_without_data_does_not_take_the_buckets_with_it():
    cube = cube_of()
    lame = replace(cube, y=np.column_stack([cube.y[:, 0], np.full(len(cube.y), np.nan)]))
    assert all(f.value is not None and f.n_tasks == 30 for f in bucket_contrasts(lame, HOW))
    assert occasions(lame).arms == 1


def rows(edit):
    base = ledger.Truth(
        success={("m", "1x"): 0.5}, tasks=3, repeats=4, buckets=("a", "b"), dates=("2026-02-05", "2026-02-06")
    )
    made = [r | edit(i, r) for i, r in enumerate(ledger.rows(base))]
    table = with_labels(ledger.table(made))
    return mechanism(table, build_cube(table, with_labels(ledger.planned(made)), base.design()))


def test_mechanism_describes_each_bucket_where_known():
    found = list(
        rows(
            lambda i, r: {
                "api_p50_ms": (100.0 if r["bucket"] == "a" else None),
                "api_429": 2 if r["bucket"] == "b" else 0,
                "outcome": "model_api" if i % 4 == 0 else "scored",
                "actual_bucket": r["bucket"] if i % 2 else None,
                "node": {"hostname": "n"},
                "t_agent_start": 10.0 * (i // 2),
                "t_agent_end": 10.0 * (i // 2) + 5,
            }
        )
    )
    latency = one(found, estimand="api_p50_ms")
    assert (latency.bucket, latency.value, latency.unit, latency.n_attempts) == ("a", 100.0, "ms", 12)
    assert one(found, estimand="api_429", bucket="b").value == 2
    assert one(found, estimand="model_api_rate", bucket="a").value == 0.25
    assert one(found, estimand="cotenancy", bucket="a").value == 1.0
    assert all(f.n_tasks == 3 and f.n_dates == 2 and f.facet == Facet(FacetKind.BUCKET) for f in found)
    assert "cotenancy" not in {f.estimand for f in rows(lambda i, r: {"node": None})}


def test_overlapping_counts_the_others_on_the_node():
    node = np.array([0, 0, 0, 1, 1])
    start = np.array([0.0, 5.0, 10.0, 5.0, 5.0])
    end = np.array([10.0, 20.0, 10.0, 9.0, 5.0])
    assert overlapping(node, start, end).tolist() == [0, 1, 1, 0, 1]
