"""The rate of creation, on a clock that only moves when everybody sleeps."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.clock import VirtualClock
from raysweep.sandbox.kubernetes.create import SLOWEST, Creator, TokenBucket

gaps = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60)


@given(gaps, st.floats(0.1, 50.0), st.floats(1.0, 20.0))
def test_no_stretch_of_time_has_more_than_its_rate_and_one_burst(waits, rate, burst):
    bucket = TokenBucket(rate, burst, now=0.0)
    now, granted = 0.0, []
    for gap in waits:
        now += gap
        granted.append(now + bucket.take(now))
    assert granted == sorted(granted)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            allowed = burst + rate * (granted[last] - granted[first])
            assert last - first + 1 <= allowed + 1e-6


@given(st.integers(1, 100))
def test_throttling_halves_the_pace_down_to_its_floor(times):
    bucket = TokenBucket(8.0, 8.0, now=0.0)
    now = 0.0
    for _ in range(times):
        bucket.throttled(now, 1.0)
        now += 2.0
    assert bucket.pace == max(SLOWEST, 0.5**times)


def test_refusals_of_one_moment_count_once():
    bucket = TokenBucket(8.0, 8.0, now=0.0)
    for _ in range(20):
        bucket.throttled(0.0, 3.0)
    assert bucket.pace == 0.5
    assert bucket.take(0.0) >= 3.0


def test_the_pace_recovers_with_what_is_accepted():
    bucket = TokenBucket(8.0, 8.0, now=0.0)
    bucket.throttled(0.0, 1.0)
    for _ in range(100):
        bucket.accepted(5.0)
    assert bucket.pace == 1.0


def test_a_token_given_back_can_be_taken_again():
    bucket = TokenBucket(1.0, 1.0, now=0.0)
    assert bucket.take(0.0) == 0.0
    bucket.give_back(0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(1.0)


def creations(rate, max_pending, runners, count, hold_s):
    """Times at which `count` pods were created by one of `runners`, each pending for `hold_s`; most pending at once."""
    clock = VirtualClock()
    creator = Creator(rate, max_pending, lambda: runners, clock.monotonic)
    times, pending, most = [], 0, 0

    async def one():
        nonlocal pending, most
        async with creator.pending():
            await creator.token()
            times.append(clock.monotonic())
            pending += 1
            most = max(most, pending)
            await asyncio.sleep(hold_s)
            pending -= 1

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(count)))

    clock.run(all_of_them())
    return times, most


def test_runners_share_the_rate():
    alone, _ = creations(8.0, 1000, 1, 80, 0.0)
    shared, _ = creations(8.0, 1000, 4, 80, 0.0)
    assert alone[-1] == pytest.approx(79 / 8)
    assert shared[-1] == pytest.approx(79 / 2)


def test_runners_share_the_cap_on_pending_pods():
    _, most = creations(1000.0, 40, 4, 100, 10.0)
    assert most == 10


def test_every_runner_may_have_one_pending_pod():
    times, most = creations(1000.0, 2, 50, 5, 1.0)
    assert (len(times), most) == (5, 1)


def test_a_retry_after_holds_back_those_who_already_wait():
    clock = VirtualClock()
    creator = Creator(2.0, 100, lambda: 1, clock.monotonic)
    times = []

    async def one():
        await creator.token()
        times.append(clock.monotonic())

    async def main():
        waiting = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.sleep(0.1)
        creator.throttled(20.0)
        await asyncio.gather(*waiting)

    clock.run(main())
    assert times[0] == 0.0
    assert min(times[1:]) >= 20.0
    assert creator.throttlings == 1


def test_who_is_cancelled_while_waiting_leaves_the_token():
    clock = VirtualClock()
    creator = Creator(1.0, 100, lambda: 1, clock.monotonic)

    async def main():
        await creator.token()
        given_up = asyncio.ensure_future(creator.token())
        await asyncio.sleep(0.5)
        given_up.cancel()
        await asyncio.wait([given_up])
        await creator.token()
        return clock.monotonic()

    assert clock.run(main()) == pytest.approx(1.0)
