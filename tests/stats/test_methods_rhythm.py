"""Harmonics of the day and the week, and the periodogram."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from scipy.integrate import quad
from scipy.signal import lombscargle

from raysweep.stats.methods.rhythm import (
    cosinor,
    daily_by_weekly,
    even,
    periodogram,
    periods_of,
    powers,
    rhythm_share,
    weekly,
    window_factor,
)
from raysweep.stats.methods.variance import mean_squares

HOURS = np.array([3.0, 9.0, 15.0, 21.0])
TURN = 2 * math.pi / 24


def grid_of(signal, dates=14, *, sd=1e-4, date_sd=0.0, seed=1, hours=HOURS):
    """Means (B, D) of signal(hours from the first midnight) plus noise."""
    rng = np.random.default_rng(seed)
    at = hours[:, None] + 24 * np.arange(dates)
    return signal(at) + rng.normal(0, sd, at.shape) + rng.normal(0, date_sd, dates)


def daily(grid, hours=HOURS):
    return cosinor(grid, hours * TURN, mean_squares(grid), 0.95)


def test_window_factor_is_what_averaging_leaves():
    averaged = quad(lambda h: math.cos(TURN * h), -3, 3)[0] / 6
    assert window_factor(4) == pytest.approx(averaged)
    assert window_factor(1000) == pytest.approx(1, abs=1e-5)


@given(peak=hs.floats(0, 23.99), amplitude=hs.floats(0.01, 0.2), buckets=hs.sampled_from([4, 6, 8]))
@settings(max_examples=40, deadline=None)
def test_cosinor_gives_back_the_rhythm_behind_the_windows(peak, amplitude, buckets):
    hours = (np.arange(buckets) + 0.5) * 24 / buckets
    flat = amplitude * window_factor(buckets)
    found = daily(grid_of(lambda h: 0.5 + flat * np.cos(TURN * (h - peak)), hours=hours), hours)
    assert found.rejects
    assert found.amplitude == pytest.approx(amplitude, rel=0.02)
    assert found.square.low <= amplitude**2 * 1.02
    assert found.square.high >= amplitude**2 * 0.98
    assert math.cos(found.peak - TURN * peak) > 0.999
    assert found.peak_low < found.peak < found.peak_high


def test_without_a_rhythm_there_is_no_peak_more_often_than_stated():
    rejected, draws = 0, 2000
    for seed in range(draws):
        found = daily(grid_of(lambda h: 0 * h, 7, sd=0.03, date_sd=0.02, seed=seed))
        assert found.rejects == (found.square.low > 0)
        rejected += found.rejects
    assert rejected / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_fieller_limits_cover_the_peak():
    hits = total = 0
    for seed in range(800):
        found = daily(grid_of(lambda h: 0.04 * np.cos(TURN * (h - 5)), 7, sd=0.03, seed=seed))
        if found.rejects:
            total += 1
            turns = round((found.peak - 5 * TURN) / (2 * math.pi)) * 2 * math.pi
            hits += found.peak_low <= 5 * TURN + turns <= found.peak_high
    assert total > 700  # so that looking at those with a peak changes little
    assert 0.93 <= hits / total <= 0.98


def test_another_shape_does_not_widen_the_cosine():
    twice = grid_of(lambda h: 0.2 * np.cos(2 * TURN * (h - 3)) + 0.02 * np.cos(TURN * h), sd=0.01)
    plain = grid_of(lambda h: 0.02 * np.cos(TURN * h), sd=0.01)
    assert daily(twice).test.ratio == pytest.approx(daily(plain).test.ratio, rel=1e-6)


def test_uneven_windows_are_seen_and_equal_hours_have_no_direction():
    assert even(HOURS * TURN)
    assert not even(np.array([3.0, 9.0, 15.0, 20.0]) * TURN)
    assert daily(grid_of(lambda h: 0 * h, sd=0.01), np.full(4, 6.0)) is None
    assert daily(np.full((4, 5), 0.5)) is None


def test_weekly_rhythm_is_tested_against_the_luck_of_dates():
    days = np.arange(14.0)
    strong = grid_of(lambda h: 0.05 * np.cos(2 * math.pi * (h / 24 - 2) / 7), date_sd=0.005)
    found = weekly(strong, days, mean_squares(strong), 0.95)
    assert found.rejects
    assert found.peak * 7 / (2 * math.pi) % 7 == pytest.approx(2 - 0.5, abs=0.6)
    assert weekly(strong[:, :3], days[:3], mean_squares(strong[:, :3]), 0.95) is None
    rejected = 0
    for seed in range(1500):
        grid = grid_of(lambda h: 0 * h, sd=0.01, date_sd=0.03, seed=seed)
        rejected += weekly(grid, days, mean_squares(grid), 0.95).rejects
    assert rejected / 1500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_daily_by_weekly_sees_products_only():
    days = np.arange(14.0)

    def week(h):
        return np.cos(TURN * (h // 24) * 24 / 7)  # the same all day long

    def p(signal):
        grid = grid_of(signal, sd=0.01)
        return daily_by_weekly(grid, HOURS * TURN, days, mean_squares(grid), 0.95)[0].p

    assert p(lambda h: 0.1 * np.cos(TURN * h) + 0.1 * week(h)) > 0.001
    assert p(lambda h: 0.05 * np.cos(TURN * h) * week(h)) < 1e-6
    few = grid_of(lambda h: 0 * h, dates=2)
    assert daily_by_weekly(few, HOURS * TURN, days[:2], mean_squares(few), 0.95) is None


def test_share_is_one_for_a_rhythm_and_none_on_average_for_noise():
    days, angles = np.arange(14.0), HOURS * TURN

    def share(grid):
        return rhythm_share(grid, angles, days, mean_squares(grid))

    assert share(grid_of(lambda h: 0.1 * np.cos(TURN * h))) == pytest.approx(1, abs=0.01)
    noise = [share(grid_of(lambda h: 0 * h, sd=0.02, date_sd=0.02, seed=k)) for k in range(600)]
    assert abs(np.mean(noise)) < 3 * np.std(noise) / math.sqrt(600)
    assert rhythm_share(np.full((4, 14), 0.5), angles, days, mean_squares(np.full((4, 14), 0.5))) is None


def test_powers_are_scipys():
    rng = np.random.default_rng(4)
    times, values = np.sort(rng.random(50)) * 14, rng.normal(0, 1, (3, 50))
    values -= values.mean(axis=1, keepdims=True)
    periods = periods_of(14, 4)
    expected = [lombscargle(times, v, 2 * math.pi / periods) for v in values]
    assert powers(times, values, periods) == pytest.approx(np.array(expected))


def spectrum(grid, seed=1, draws=199):
    dates = grid.shape[1]
    times = (np.arange(dates) + HOURS[:, None] / 24).ravel()
    date = np.tile(np.arange(dates), 4)
    return periodogram(times, grid.ravel(), date, periods_of(dates, 4), seed=seed, confidence=0.95, draws=draws)


def test_periodogram_finds_the_day_and_the_week():
    day = spectrum(grid_of(lambda h: 0.03 * np.cos(TURN * h), sd=0.02, date_sd=0.02))
    week = spectrum(grid_of(lambda h: 0.03 * np.cos(TURN * h / 7), sd=0.005))
    assert day.p <= 0.05
    assert day.peak == pytest.approx(1, rel=0.03)
    assert day.relative.max() > day.level
    assert week.peak == pytest.approx(7, rel=0.25)
    again = spectrum(grid_of(lambda h: 0.03 * np.cos(TURN * h), sd=0.02, date_sd=0.02))
    assert np.array_equal(day.relative, again.relative)


@pytest.mark.parametrize("date_sd", [0.0, 0.05])
def test_periodogram_raises_false_alarms_as_often_as_stated(date_sd):
    draws = 400
    alarms = sum(
        spectrum(grid_of(lambda h: 0 * h, sd=0.02, date_sd=date_sd, seed=k), seed=k, draws=99).p <= 0.05
        for k in range(draws)
    )
    assert alarms / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_periodogram_needs_spread_and_periods():
    assert spectrum(np.full((4, 14), 0.5)) is None
    assert len(periods_of(0.5, 4)) == 0
    flat = np.arange(4.0)
    assert periodogram(flat, flat, np.arange(4), periods_of(0.5, 4), seed=1, confidence=0.95) is None
