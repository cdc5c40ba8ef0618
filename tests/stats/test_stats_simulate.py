"""Ledgers of a stated truth hold what they state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raysweep.stats import simulate
from raysweep.stats.cube import build_cube, with_labels


def test_expectations_over_tasks_are_the_stated_ones():
    truth = replace(simulate.STUDY, tasks=4000, repeats=4)
    drawn = simulate.draw(truth, np.random.default_rng(1))
    assert drawn.passed.mean(axis=0) == pytest.approx([a.success for a in truth.arms], abs=0.02)
    assert drawn.died.mean(axis=0) == pytest.approx([a.infra for a in truth.arms], abs=0.005)
    assert not np.any(drawn.passed & drawn.died)


def test_bucket_date_and_occasion_effects_move_every_arm():
    truth = simulate.Truth(
        arms=(simulate.SimArm("m", "1x", 0.5), simulate.SimArm("m", "3x", 0.5)),
        tasks=400, repeats=40, buckets=("a", "b"), dates=6, bucket_effects=(-0.1, 0.1), date_sd=0.05,
    )  # fmt: skip
    drawn = simulate.draw(truth, np.random.default_rng(2))
    by = [drawn.passed[drawn.bucket == b].mean() for b in (0, 1)]
    assert by[1] - by[0] == pytest.approx(0.2, abs=0.02)
    dates = [drawn.passed[drawn.date == d].mean() for d in range(6)]
    assert 0.01 < np.std(dates) < 0.12


def test_the_ledger_and_the_cube_of_the_same_outcomes_agree():
    truth = replace(simulate.STUDY, tasks=7, repeats=2, buckets=("a", "b"), dates=3)
    rng = np.random.default_rng(3)
    drawn = simulate.draw(truth, rng)
    direct = simulate.cube_of(truth, drawn)
    table, planned = simulate.tables_of(truth, drawn, rng)
    read = build_cube(with_labels(table), with_labels(planned), truth.design())
    for name in ("arms", "tasks", "buckets", "dates"):
        assert getattr(read, name) == getattr(direct, name)
    for name in ("y", "q", "present", "first_platform", "task", "bucket", "date"):
        assert np.array_equal(getattr(read, name), getattr(direct, name)), name
