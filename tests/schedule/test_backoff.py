"""Waits after platform failures that came fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedule.backoff import Backoff
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Window
from raysweep.schedule.messages import Ended, Finish, Halt, Launch, Sleep, Stepped, Tick
from raysweep.schedule.queue import Queue
from support.plans import plan_of

CAPS = {"image": 3}


def queue_of(plan, calendar=None, **options):
    given = {"capacity": 1, "caps": CAPS, "now": 0.0, "backoff": Backoff()} | options
    return Queue(plan.blocks, calendar or AlwaysOpen(0.0), **given)


def launch_of(instructions):
    (launch,) = [i for i in instructions if isinstance(i, Launch)]
    return launch


def sleep_of(instructions):
    assert not [i for i in instructions if isinstance(i, Launch)]
    (sleep,) = [i for i in instructions if isinstance(i, Sleep)]
    return sleep.until


@given(st.integers(0, 2**31), st.integers(1, 500))
def test_waits_grow_to_the_longest_and_are_the_same_for_the_same_seed(seed, failures):
    wait = Backoff()
    whole = min(wait.longest_s, wait.first_s * wait.factor ** min(failures - 1, 50))
    delay = wait.delay_s(seed, failures, lasted_s=0.1)
    assert whole / 2 <= delay <= whole
    assert delay == wait.delay_s(seed, failures, lasted_s=9.9)
    assert wait.delay_s(seed, failures, lasted_s=10.0) == 0.0


def test_trials_that_failed_together_do_not_come_back_together():
    assert len({Backoff().delay_s(seed, 1, 0.0) for seed in range(50)}) == 50


def one_block():
    return plan_of(tasks=1, repeats=1)


def fail_first(queue, now, first):
    """The first trial fails at `now`; what may be launched meanwhile ends well. What the queue says then."""
    instructions = queue.handle(Ended(first, "image"), now)
    while others := [i for i in instructions if isinstance(i, Launch)]:
        assert others[0].trial.trial_id != first
        instructions = queue.handle(Ended(others[0].trial.trial_id), now)
    return instructions


def test_fast_failures_do_not_use_up_their_retries_at_once():
    queue, now, waits = queue_of(one_block()), 0.0, []
    first = launch_of(queue.handle(Tick(), now)).trial.trial_id
    for attempt in (2, 3, 4):
        due = sleep_of(fail_first(queue, now + 0.2, first))
        assert queue.waiting_retries == 1
        waits.append(due - now - 0.2)
        assert sleep_of(queue.handle(Tick(), due - 0.01)) == due
        again = launch_of(queue.handle(Tick(), due))
        assert (again.trial.trial_id, again.attempt) == (first, attempt)
        assert queue.waiting_retries == 0
        now = due
    assert 0.5 <= waits[0] <= 1.0 < waits[1] <= 3.0 < waits[2] <= 9.0
    (finish,) = [i for i in queue.handle(Ended(first, "image"), now + 0.1) if isinstance(i, Finish)]
    assert finish.missing == 1


def test_a_slow_failure_is_followed_at_once():
    queue = queue_of(one_block())
    first = launch_of(queue.handle(Tick(), 0.0))
    again = launch_of(queue.handle(Ended(first.trial.trial_id, "image"), 10.0))
    assert (again.trial.trial_id, again.attempt) == (first.trial.trial_id, 2)


def test_no_wait_is_longer_than_its_occasion():
    queue = queue_of(one_block(), Cycles(0.0, 1000.0, (Window("all", 0.0, 0.2),)), backoff=Backoff(first_s=50.0))
    first = launch_of(queue.handle(Tick(), 0.0))
    again = launch_of(queue.handle(Ended(first.trial.trial_id, "image"), 0.1))
    assert again.attempt == 2


def test_a_halt_that_finishes_blocks_waits_and_one_that_does_not_ends():
    queue = queue_of(one_block())
    due = sleep_of(fail_first(queue, 0.2, launch_of(queue.handle(Tick(), 0.0)).trial.trial_id))
    assert sleep_of(queue.handle(Halt(), 0.3)) == due
    assert isinstance(queue.handle(Halt(finish_blocks=False), 0.3)[-1], Finish)


def test_a_clock_that_was_set_moves_the_waits():
    queue = queue_of(one_block())
    first = launch_of(queue.handle(Tick(), 0.0)).trial.trial_id
    due = sleep_of(fail_first(queue, 0.2, first))
    assert sleep_of(queue.handle(Stepped(3600.0), 3600.3)) == due + 3600.0
    assert launch_of(queue.handle(Tick(), due + 3600.0)).trial.trial_id == first
