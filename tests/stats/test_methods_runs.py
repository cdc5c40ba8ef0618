"""Runs as units: mean squares within and between runs against projections, intervals against stated truths."""

from __future__ import annotations

import numpy as np
import pytest

from raysweep.stats.methods.runs import run_spread, runs_sampled, tasks_and_runs
from raysweep.stats.methods.twoway import Grid
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


def studies(number, runs, *, run_sd, tasks=20, dates=4, seed=2):
    """(T, R) cells and (R x D) date means of drawn studies; effect 0.03, task sd 0.1, date sd 0.02, noise 0.2."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        task = 0.03 + rng.normal(0, 0.1, tasks)
        date = rng.normal(0, run_sd, runs)[:, None] + rng.normal(0, 0.02, (runs, dates))
        cells = task[:, None, None] + date + rng.normal(0, 0.2, (tasks, runs, dates))
        yield task, cells


@pytest.mark.parametrize("runs", [3, 6])
def test_intervals_over_runs_cover_where_those_over_tasks_do_not(runs):
    number, held = 800, {"runs": 0, "tasks and runs": 0, "dates": 0}
    for task, cells in studies(number, runs, run_sd=0.05):
        grid = Grid(cells.mean(axis=2), np.full((20, runs), 4))
        value = float(cells.mean())
        over_runs, both = runs_sampled(value, grid, 0.95), tasks_and_runs(cells.mean(axis=(1, 2)), grid, 0.95)
        dates = cells.mean(axis=0).ravel()
        half = 2.2 * dates.std(ddof=1) / np.sqrt(len(dates))
        held["runs"] += over_runs.low <= task.mean() <= over_runs.high
        held["tasks and runs"] += both.low <= 0.03 <= both.high
        held["dates"] += abs(value - task.mean()) <= half
    assert 92.8 < 100 * held["runs"] / number < 97.2
    assert 100 * held["tasks and runs"] / number > 92.8
    assert 100 * held["dates"] / number < 85, "dates pooled over runs do not speak of other runs: the report says so"


@pytest.mark.parametrize(("run_sd", "runs"), [(0.0, 2), (0.0, 4), (0.05, 2), (0.05, 4)])
def test_the_spread_between_runs_covers_and_claims_nothing_where_there_is_none(run_sd, runs):
    number, held, claimed = 1000, 0, 0
    for _, cells in studies(number, runs, run_sd=run_sd):
        c = run_spread(cells.mean(axis=0).ravel(), np.repeat(np.arange(runs), 4), 0.95).component
        held += c.low <= run_sd**2 <= c.high
        claimed += c.low > 0
    assert 100 * held / number > 92.5
    if not run_sd:
        assert 100 * claimed / number < 4.5, "2.5 % and its Monte Carlo error"
