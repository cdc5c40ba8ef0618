"""Decomposition of a success contrast: identities that hold exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hy

from raysweep.stats.methods.decomposition import bounds, infra_draws, infra_influence, kitagawa

share = hy.floats(0, 1)


def test_the_studys_bounds():
    """3x to uncapped: success +4 points, deaths -1.6: rescued trials give at most 1.6, other successes at least 2.4."""
    found = bounds(0.04, -0.016)
    assert found.rescued == pytest.approx((0.0, 0.016))
    assert found.other == pytest.approx((0.024, 0.04))


@given(hy.floats(-1, 1), hy.floats(-1, 1))
def test_bounds_are_ordered_and_add_up(dp, dq):
    found = bounds(dp, dq)
    assert found.rescued[0] <= found.rescued[1]
    assert found.other[0] <= found.other[1]
    assert found.rescued[0] + found.other[1] == pytest.approx(dp)
    assert found.rescued[1] + found.other[0] == pytest.approx(dp)
    assert min(-dq, 0.0) in found.rescued


@given(share, share, hy.floats(0, 0.99), hy.floats(0, 0.99))
def test_kitagawa_is_exact(c1, c0, q1, q0):
    p1, p0 = (1 - q1) * c1, (1 - q0) * c0
    found = kitagawa((p1, q1), (p0, q0))
    assert found.infra + found.clean == pytest.approx(p1 - p0, abs=1e-12)
    back = kitagawa((p0, q0), (p1, q1))
    assert back.infra == pytest.approx(-found.infra, abs=1e-12)


def test_kitagawa_credits_deaths_alone_when_the_living_do_alike():
    found = kitagawa((0.95 * 0.6, 0.05), (0.8 * 0.6, 0.2))
    assert found.clean == pytest.approx(0.0, abs=1e-12)
    assert found.infra == pytest.approx(0.6 * 0.15)


def test_undefined_where_nothing_lived():
    assert kitagawa((0.0, 1.0), (0.4, 0.1)) is None
    assert kitagawa((0.4, 0.1), (0.0, 1.0)) is None
    assert infra_draws(np.array([[0.4, 0.1, 0.4, 0.1], [0.4, 0.1, 0.0, 1.0]])) is None


def test_draws_are_the_same_arithmetic():
    rng = np.random.default_rng(1)
    q = rng.uniform(0, 0.5, (20, 2))
    p = (1 - q) * rng.uniform(0, 1, (20, 2))
    means = np.stack([p[:, 0], q[:, 0], p[:, 1], q[:, 1]], axis=1)
    by_hand = [kitagawa((a, b), (c, d)).infra for a, b, c, d in means]
    assert infra_draws(means) == pytest.approx(by_hand)


def test_influence_is_the_derivative():
    rng = np.random.default_rng(2)
    q = rng.uniform(0, 0.5, (15, 2))
    p = (1 - q) * rng.uniform(0, 1, (15, 2))
    tasks = np.stack([p[:, 0], q[:, 0], p[:, 1], q[:, 1]], axis=1)
    values = infra_influence(tasks)
    assert values.mean() == pytest.approx(infra_draws(tasks.mean(axis=0)[None, :])[0])
    step = 1e-6
    for t in (0, 7):
        weight = np.full(15, 1 / 15)
        weight[t] += step
        weight /= weight.sum()
        moved = (infra_draws((weight @ tasks)[None, :])[0] - values.mean()) / step
        assert moved == pytest.approx(values[t] - values.mean(), rel=1e-3, abs=1e-6)
