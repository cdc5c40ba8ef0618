"""Rounds of probes between the blocks: before the first of an occasion, after its last, alone, and losing nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.record.probes import Round
from raysweep.record.resume import RunState, SweepState
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Window
from raysweep.schedule.messages import Ended, Finish, Halt, Launch, Probe, Probed, Sleep, Tick
from raysweep.schedule.probing import ProbeBook
from raysweep.schedule.queue import Queue
from support.plans import CYCLES, plan_of

CAPS = {"node_lost": 2, "runner_lost": 1}
ROUND_S = 5.0
TWO = Cycles(0.0, 200.0, [Window("first", 0, 100), Window("second", 100, 200)])
ALWAYS = Round("all", "always", "before"), Round("all", "always", "after")


def cycle(bucket, number, moment):
    return Round(bucket, f"cycle {number}", moment)


class Run:
    """Drives a queue to its end; `log` holds (time, what): a Launch, a Round that began, "over" when it ended."""

    def __init__(self, queue, *, now=0.0, step=2.0, round_s=ROUND_S, fate=lambda _: Ended, halt_at=None):
        self.log, running, probing = [], [], None
        instructions = queue.handle(Tick(), now)
        for n in range(100_000):
            for i in instructions:
                assert not (isinstance(i, Probe) and (running or probing)), "probes run while nothing else does"
                assert not (isinstance(i, Launch) and probing), "nothing is launched during a round"
                if isinstance(i, Launch):
                    self.log.append((now, i))
                    running.append(i)
                elif isinstance(i, Probe):
                    self.log.append((now, i.round))
                    probing = i.round
            finish = [i for i in instructions if isinstance(i, Finish)]
            if finish:
                assert not running
                assert not probing
                self.missing, self.now = finish[0].missing, now
                return
            if halt_at == n:
                event = Halt()
            elif probing:
                now += round_s
                probing = None
                self.log.append((now, "over"))
                event = Probed()
            elif running:
                now += step
                event = fate(running[0])(running.pop(0).trial.trial_id)
            else:
                now = next(i.until for i in instructions if isinstance(i, Sleep))
                event = Tick()
            instructions = queue.handle(event, now)
        raise AssertionError("the queue does not end")

    @property
    def rounds(self):
        return [what for _, what in self.log if isinstance(what, Round)]

    @property
    def launches(self):
        return [what for _, what in self.log if isinstance(what, Launch)]

    def time_of(self, wanted):
        return next(t for t, what in self.log if what == wanted)


def queue_of(plan, calendar=None, *, capacity=2, now=0.0, book=None, **options):
    book = book or ProbeBook(ROUND_S)
    calendar = calendar or AlwaysOpen(0.0)
    return Queue(plan.blocks, calendar, capacity=capacity, caps=CAPS, now=now, probes=book, **options)


def test_one_bucket_is_probed_before_its_first_block_and_after_its_last():
    run = Run(queue_of(plan_of(tasks=3)))
    assert run.rounds == list(ALWAYS)
    kinds = ["launch" if isinstance(w, Launch) else w for _, w in run.log]
    assert kinds[:2] == [ALWAYS[0], "over"]
    assert kinds[-2:] == [ALWAYS[1], "over"]
    assert len(run.launches) == plan_of(tasks=3).trials
    assert run.missing == 0


def test_every_occasion_has_its_rounds_within_its_window():
    plan = plan_of(tasks=3, buckets=CYCLES, repeats=2)
    run = Run(queue_of(plan, TWO, last_planned_date=2))
    assert run.rounds == [
        cycle(b, n, m) for n in (1, 2) for b in ("first", "second") for m in ("before", "after")
    ]  # fmt: skip
    for done in run.rounds:
        occasion = TWO.occasion(done.bucket, int(done.occasion[-1]))
        assert occasion.opens <= run.time_of(done) < occasion.closes
    assert run.missing == 0


def test_a_short_window_is_probed_once_and_a_shorter_one_never():
    plan = plan_of(tasks=3, buckets=CYCLES, repeats=2)
    once = Run(queue_of(plan, TWO, last_planned_date=2, book=ProbeBook(20.0)), round_s=20.0)
    assert once.rounds == [cycle(b, n, "before") for n in (1, 2) for b in ("first", "second")]
    never = Run(queue_of(plan, TWO, last_planned_date=2, book=ProbeBook(60.0)))
    assert never.rounds == []
    assert (once.missing, never.missing) == (0, 0)


def test_an_occasion_without_blocks_is_not_probed():
    plan = plan_of(tasks=2, buckets=CYCLES, repeats=2)
    only = [b for b in plan.blocks if b.bucket == "second" and b.date == 1]
    queue = Queue(only, TWO, capacity=2, caps=CAPS, now=0.0, last_planned_date=2, probes=ProbeBook(ROUND_S))
    run = Run(queue)
    assert run.rounds == [cycle("second", 1, "before"), cycle("second", 1, "after")]
    assert run.time_of(run.rounds[0]) == 100.0


def test_no_time_for_probes_and_a_block_leaves_both_to_a_later_occasion():
    plan = plan_of(tasks=1, buckets=CYCLES, repeats=2)
    run = Run(queue_of(plan, TWO, now=97.0, last_planned_date=2), now=97.0)
    assert run.rounds[0] == cycle("second", 1, "before")
    assert run.missing == 0
    made_up = [t for t, w in run.log if isinstance(w, Launch) and (w.block.bucket, w.block.date) == ("first", 1)]
    assert made_up
    assert made_up[0] >= 200.0


def test_blocks_that_fill_a_window_leave_out_the_probes_instead_of_waiting_for_ever():
    plan = plan_of(tasks=4, buckets=CYCLES, repeats=4)
    run = Run(queue_of(plan, TWO, capacity=1, last_planned_date=2, makeup_dates=40), step=49.0)  # a block: 98 s
    assert run.missing == 0


def test_resume_does_not_repeat_the_first_round_but_closes_the_occasion_it_went_on_with():
    plan = plan_of(tasks=3)
    trial = plan.blocks[0].trials[0].trial_id
    restored = SweepState({plan.blocks[0].block_id: RunState(1, frozenset({trial}), 0.0)}, {trial: 1})
    run = Run(queue_of(plan, restored=restored, book=ProbeBook(ROUND_S, {ALWAYS[0]})))
    assert run.rounds == [ALWAYS[1]]
    assert trial not in {w.trial.trial_id for w in run.launches}
    again = Run(queue_of(plan, restored=restored, book=ProbeBook(ROUND_S, ALWAYS)))
    assert again.rounds == [ALWAYS[1]], "blocks ran after the round that was the last so far"


def test_a_begun_block_waits_for_the_first_probes_where_they_are_missing():
    plan = plan_of(tasks=3)
    trial = plan.blocks[0].trials[0].trial_id
    restored = SweepState({plan.blocks[0].block_id: RunState(1, frozenset({trial}), 0.0)}, {trial: 1})
    run = Run(queue_of(plan, restored=restored))
    assert run.log[0][1] == ALWAYS[0]
    assert run.missing == 0


def test_a_begun_block_of_a_closed_window_waits_for_no_probes_and_those_of_the_open_one_stand_for_its_last():
    plan = plan_of(tasks=2, buckets=CYCLES, repeats=2)
    block = plan.blocks[0]
    trial = block.trials[0].trial_id
    restored = SweepState({block.block_id: RunState(1, frozenset({trial}), 95.0)}, {trial: 1})
    run = Run(queue_of(plan, TWO, now=105.0, last_planned_date=2, restored=restored), now=105.0)
    assert run.log[0][1].block == block
    assert run.rounds[0] == cycle("second", 1, "before")
    assert cycle("first", 1, "after") not in run.rounds


@pytest.mark.parametrize("finish", [True, False])
def test_a_halt_ends_with_a_last_round_unless_everything_is_left_as_it_is(finish):
    plan = plan_of(tasks=3)
    queue = queue_of(plan, capacity=1)
    assert queue.handle(Tick(), 0.0) == [Probe(ALWAYS[0])]
    (launch,) = queue.handle(Probed(), 5.0)[:1]
    queue.handle(Halt(finish_blocks=finish), 6.0)
    said = queue.handle(Ended(launch.trial.trial_id), 7.0)
    if finish:
        said = queue.handle(Ended(said[0].trial.trial_id), 8.0)
        assert said == [Probe(ALWAYS[1])]
        assert queue.handle(Probed(), 12.0) == [Finish(len(plan.blocks) - 1)]
    else:
        assert said == [Finish(len(plan.blocks))]


def test_a_halt_during_the_first_round_begins_no_block():
    plan = plan_of(tasks=3)
    for finish in (True, False):
        queue = queue_of(plan)
        queue.handle(Tick(), 0.0)
        assert queue.handle(Halt(finish_blocks=finish), 1.0) == []
        assert queue.handle(Tick(), 2.0) == []
        assert queue.handle(Probed(), 5.0) == [Finish(len(plan.blocks))]


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 9),
    faults=st.lists(st.sampled_from(["ok", "node_lost", "runner_lost"]), max_size=30),
    tasks=st.integers(1, 4),
    cycles=st.booleans(),
    step=st.floats(0.5, 30.0),
    round_s=st.floats(0.5, 60.0),
    halt_at=st.one_of(st.none(), st.integers(0, 30)),
)
def test_whatever_happens_no_block_precedes_its_probes_and_none_is_lost(
    capacity, faults, tasks, cycles, step, round_s, halt_at
):
    plan = plan_of(tasks=tasks, buckets=CYCLES if cycles else "", repeats=2)
    calendar = TWO if cycles else AlwaysOpen(0.0)
    feed, ended = iter(faults), Counter()

    def fate(launch):
        fault = next(feed, "ok")
        if fault == "ok":
            ended[launch.block_run, launch.trial.trial_id] += 1
            return Ended
        return lambda t: Ended(t, fault)

    book = ProbeBook(round_s)
    queue = queue_of(plan, calendar, capacity=capacity, last_planned_date=2, book=book, makeup_dates=20)
    run = Run(queue, step=step, round_s=round_s, fate=fate, halt_at=halt_at)
    assert set(ended.values()) <= {1}
    complete = [b for b in plan.blocks if any(all((n, t.trial_id) in ended for t in b.trials) for n in (1, 2, 3))]
    assert len(complete) == len(plan.blocks) - run.missing
    assert max(Counter(r for r in run.rounds if r.moment == "before").values(), default=1) == 1
    room = not cycles or (2 * round_s <= 100.0 and round_s + 40 * step <= 100.0)
    begun, over, current = set(), set(), None
    for now, what in run.log:
        if isinstance(what, Round):
            current = what
        elif what == "over":
            over.add(current)
        elif what.block.block_id not in begun:
            begun.add(what.block.block_id)
            occasion = calendar.at(now)
            assert not room or Round(occasion.bucket, occasion.label, "before") in over
