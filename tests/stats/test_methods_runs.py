"""Runs as units: mean squares within and between runs against projections, intervals against stated truths."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.runs import shares
from raysweep.stats.methods.runs import run_spread
from raysweep.stats.methods.variance import mean_squares

RUN = np.array([0, 1, 0, 1, 1, 0, 2, 2], dtype=np.int64)
BUCKETS = 4


def projection(*designs):
    """Orthogonal projection onto the columns of all designs together."""
    basis, values, _ = np.linalg.svd(np.hstack(designs), full_matrices=False)
    basis = basis[:, values > 1e-9]
    return basis @ basis.T


def layers(run):
    """Projections of grand mean, bucket, run, bucket x run, date in run and the rest, over B x D cells."""
    dates = len(run)
    bucket, date = np.kron(np.eye(BUCKETS), np.ones((dates, 1))), np.kron(np.ones((BUCKETS, 1)), np.eye(dates))
    member = np.eye(run.max() + 1)[run]
    of_run, cells = np.kron(np.ones((BUCKETS, 1)), member), np.kron(np.eye(BUCKETS), member)
    one = np.ones((BUCKETS * dates, 1))
    mean, runs, both = projection(one), projection(of_run), projection(cells)
    buckets = projection(bucket) - mean
    return {
        "bucket": buckets,
        "run_bucket": both - runs - buckets,
        "date": projection(date) - runs,
        "rest": np.eye(BUCKETS * dates) - projection(date, cells),
    }


@pytest.mark.parametrize("run", [RUN, np.zeros(6, dtype=np.int64)], ids=["three runs", "one run"])
def test_mean_squares_and_their_noise_are_those_of_orthogonal_projections(run):
    rng = np.random.default_rng(1)
    size = BUCKETS * len(run)
    root = rng.normal(size=(size, size))
    centre = np.eye(size) - 1 / size
    covariance = centre @ (root @ root.T) @ centre
    m = rng.normal(size=size)
    s = mean_squares(m.reshape(BUCKETS, -1), covariance, 1.0, run)
    runs = run.max() + 1
    df = {
        "bucket": 3, "run_bucket": 3 * (runs - 1), "date": len(run) - runs, "rest": 3 * (len(run) - runs),
    }  # fmt: skip
    assert (s.df_bucket, s.df_run_bucket, s.df_date, s.df_rest) == tuple(df.values())
    for name, p in layers(run).items():
        if df[name]:
            assert np.trace(p) == pytest.approx(df[name])
            assert getattr(s, name) == pytest.approx(m @ p @ m / df[name])
            assert getattr(s, f"noise_{name}") == pytest.approx(np.trace(p @ covariance) / df[name])


def test_run_spread_is_a_nested_analysis_of_variance():
    m = np.array([1.0, 3.0, 5.0, 7.0, 2.0])
    run = np.array([4, 4, 9, 9, 9], dtype=np.int64)
    found = run_spread(m, run, 0.95)
    assert found is not None
    between = 2 * (2 - 3.6) ** 2 + 3 * (14 / 3 - 3.6) ** 2
    within = (2 + (5 - 14 / 3) ** 2 + (7 - 14 / 3) ** 2 + (2 - 14 / 3) ** 2) / 3
    assert (found.test.df1, found.test.df2) == (1, 3)
    assert found.test.ratio == pytest.approx(between / within)
    assert found.component.value == pytest.approx((between - within) / (5 - 13 / 5))
    assert run_spread(m, np.zeros(5, dtype=np.int64), 0.95) is None
    assert run_spread(m, np.arange(5), 0.95) is None
    assert run_spread(np.ones(5), run, 0.95) is None


@pytest.mark.parametrize("runs", [3, 6])
def test_intervals_over_runs_cover_where_those_over_dates_do_not(runs):
    held = shares(800, runs, 0.05, seed=2)
    assert 92.8 < held["runs"] < 97.2
    assert held["tasks and runs"] > 92.8
    assert held["dates"] < 85, "dates pooled over runs do not speak of other runs: the report says so"


@pytest.mark.parametrize(("run_sd", "runs"), [(0.0, 2), (0.0, 4), (0.05, 2), (0.05, 4)])
def test_the_spread_between_runs_covers_and_claims_nothing_where_there_is_none(run_sd, runs):
    held = shares(800, runs, run_sd, seed=3)
    assert held["run_sd"] > 92.5
    assert run_sd or held["claimed"] < 4.5, "2.5 % and its Monte Carlo error"
