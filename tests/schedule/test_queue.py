from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.record.resume import RunState, SweepState
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Window
from raysweep.schedule.messages import Ended, Finish, Halt, Launch, Sleep, Tick
from raysweep.schedule.queue import Queue
from support.plans import CYCLES, plan_of

CAPS = {"node_lost": 2, "runner_lost": 1}


def launches(instructions):
    return [i for i in instructions if isinstance(i, Launch)]


def queue_of(plan, calendar=None, *, capacity=2, now=0.0, **options):
    return Queue(plan.blocks, calendar or AlwaysOpen(0.0), capacity=capacity, caps=CAPS, now=now, **options)


def run_all(queue, now=0.0, step=1.0, fate=lambda _: Ended):
    """Drive a queue to its end; returns every launch in order."""
    seen, running = [], []
    instructions = queue.handle(Tick(), now)
    for _ in range(100_000):
        new = launches(instructions)
        seen += new
        running += new
        finish = [i for i in instructions if isinstance(i, Finish)]
        if finish:
            return seen, finish[0], now
        if running:
            now += step
            event = fate(running[0])(running.pop(0).trial.trial_id)
        else:
            now = next(i.until for i in instructions if isinstance(i, Sleep))
            event = Tick()
        instructions = queue.handle(event, now)
    raise AssertionError("the queue does not end")


def test_every_trial_once_in_block_order_and_never_more_than_capacity():
    plan = plan_of(tasks=3)
    seen, finish, _ = run_all(queue_of(plan, capacity=3))
    assert [launch.trial.trial_id for launch in seen] == [t.trial_id for b in plan.blocks for t in b.trials]
    assert finish.missing == 0
    assert len(launches(queue_of(plan, capacity=3).handle(Tick(), 0.0))) == 3


def test_a_platform_cause_is_retried_at_once_within_its_cap_and_nothing_else():
    plan = plan_of(tasks=2)
    unlucky = plan.blocks[0].trials[0].trial_id

    def fate(launch):
        lost = launch.trial.trial_id == unlucky and launch.attempt <= 2
        return (lambda t: Ended(t, "node_lost")) if lost else Ended

    seen, finish, _ = run_all(queue_of(plan, capacity=1), fate=fate)
    assert [launch.attempt for launch in seen if launch.trial.trial_id == unlucky] == [1, 2, 3]
    assert [launch.trial.trial_id for launch in seen[:3]] == [unlucky] * 3
    assert Counter(launch.trial.trial_id for launch in seen).most_common()[1][1] == 1
    assert finish.missing == 0


def test_a_cap_used_up_leaves_the_block_missing():
    plan = plan_of(tasks=2)
    unlucky = plan.blocks[0].trials[0].trial_id

    def fate(launch):
        return (lambda t: Ended(t, "runner_lost")) if launch.trial.trial_id == unlucky else Ended

    seen, finish, _ = run_all(queue_of(plan), fate=fate)
    assert [launch.attempt for launch in seen if launch.trial.trial_id == unlucky] == [1, 2]
    assert finish.missing == 1


def test_blocks_run_in_their_own_occasion_and_wait_for_it():
    plan = plan_of(tasks=3, buckets=CYCLES, repeats=2)
    calendar = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
    times = {}
    queue = queue_of(plan, calendar, last_planned_date=2)
    handle = queue.handle

    def spy(event, now):
        out = handle(event, now)
        times.update({i.trial.trial_id: now for i in launches(out)})
        return out

    queue.handle = spy
    _, finish, _ = run_all(queue)
    assert finish.missing == 0
    for block in plan.blocks:
        occasion = calendar.occasion(block.bucket, block.date)
        for trial in block.trials:
            assert occasion.opens <= times[trial.trial_id] < occasion.closes


def test_a_block_whose_usual_duration_does_not_fit_waits_and_is_made_up_in_its_own_bucket():
    plan = plan_of(tasks=4, buckets=CYCLES, repeats=2)
    calendar = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
    seen, finish, now = run_all(queue_of(plan, calendar, capacity=1, last_planned_date=2), step=18.0)
    # a block takes 36 s, so two fit into 100 s: half of the blocks must be made up after the planned cycles
    assert finish.missing == 0
    assert len(seen) == plan.trials
    assert now > 400.0


def test_without_make_up_dates_missed_blocks_are_missing():
    plan = plan_of(tasks=4, buckets=CYCLES, repeats=2)
    calendar = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
    queue = queue_of(plan, calendar, capacity=1, last_planned_date=2, makeup_dates=0)
    seen, finish, _ = run_all(queue, step=18.0)
    assert finish.missing > 0
    assert len(seen) == (len(plan.blocks) - finish.missing) * 2


def state(plan, ended, began=0.0, run=1):
    block = plan.blocks[0]
    return SweepState({block.block_id: RunState(run, frozenset(ended), began)}, dict.fromkeys(ended, 1))


def test_resume_goes_on_with_a_block_that_was_begun_and_skips_what_ended():
    plan = plan_of(tasks=2)
    first, second = plan.blocks[0].trials
    seen, finish, _ = run_all(queue_of(plan, restored=state(plan, [first.trial_id])))
    assert first.trial_id not in {launch.trial.trial_id for launch in seen}
    assert seen[0].trial == second
    assert seen[0].block_run == 1
    assert finish.missing == 0


def test_resume_after_the_occasion_runs_the_whole_block_again():
    plan = plan_of(tasks=2, buckets=CYCLES, repeats=2)
    calendar = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
    first = plan.blocks[0].trials[0]
    restored = state(plan, [first.trial_id], began=5.0)
    seen, finish, _ = run_all(queue_of(plan, calendar, now=210.0, last_planned_date=2, restored=restored), now=210.0)
    again = [launch for launch in seen if launch.block.block_id == plan.blocks[0].block_id]
    assert {launch.block_run for launch in again} == {2}
    assert len(again) == 2
    assert next(launch.attempt for launch in again if launch.trial == first) == 2
    assert finish.missing == 0


def test_resume_shortly_after_the_window_finishes_the_same_block_run():
    plan = plan_of(tasks=2, buckets=CYCLES, repeats=2)
    calendar = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
    first = plan.blocks[0].trials[0]
    restored = state(plan, [first.trial_id], began=95.0)
    queue = queue_of(plan, calendar, now=105.0, last_planned_date=2, restored=restored)
    launched = launches(queue.handle(Tick(), 105.0))
    assert launched[0].block.block_id == plan.blocks[0].block_id
    assert launched[0].block_run == 1


def test_halt_finishes_begun_blocks_or_leaves_them():
    plan = plan_of(tasks=3)
    for finish_blocks, expected in ((True, 1), (False, 0)):
        queue = queue_of(plan, capacity=1)
        first = launches(queue.handle(Tick(), 0.0))[0]
        queue.handle(Halt(finish_blocks=finish_blocks), 0.0)
        after = queue.handle(Ended(first.trial.trial_id), 1.0)
        assert len(launches(after)) == expected
        if not finish_blocks:
            assert after == [Finish(len(plan.blocks))]


@settings(max_examples=40, deadline=None)
@given(
    capacity=st.integers(1, 9),
    faults=st.lists(st.sampled_from(["ok", "node_lost", "runner_lost"]), min_size=1, max_size=40),
    tasks=st.integers(1, 4),
)
def test_any_faults_end_with_each_trial_ended_once_or_its_block_missing(capacity, faults, tasks):
    plan = plan_of(tasks=tasks)
    feed = iter(faults)
    ended = Counter()

    def fate(launch):
        fault = next(feed, "ok")
        if fault == "ok":
            ended[launch.trial.trial_id] += 1
            return Ended
        return lambda t: Ended(t, fault)

    _, finish, _ = run_all(queue_of(plan, capacity=capacity), fate=fate)
    assert set(ended.values()) <= {1}
    complete = sum(all(t.trial_id in ended for t in b.trials) for b in plan.blocks)
    assert complete == len(plan.blocks) - finish.missing


@pytest.mark.parametrize("capacity", [1, 8])
def test_the_order_of_launches_does_not_depend_on_capacity(capacity):
    plan = plan_of(tasks=3)
    seen, _, _ = run_all(queue_of(plan, capacity=capacity))
    assert [s.trial.trial_id for s in seen] == [t.trial_id for b in plan.blocks for t in b.trials]
