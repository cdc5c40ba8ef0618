"""Levels of concurrency in the queue: one rules at a time, its load is kept up, blocks stay together and whole."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter, defaultdict
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep import config
from raysweep.plan import make_plan
from raysweep.record.resume import RunState, SweepState
from raysweep.schedule.blockrun import BlockRun
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Occasion, Window
from raysweep.schedule.messages import Ended, Finish, Launch, Sleep, Tick
from raysweep.schedule.queue import Queue
from raysweep.schedule.ready import TURNS, ReadyTrials
from raysweep.study import compose
from raysweep.tasks.load import load_tasks
from support.driving import Rig
from support.plans import sweep_text

LEVELS = "factors: {{concurrency: {{reference: low, levels: {{low: {low}, high: {high}}}}}}}\n"
CAPS = {"node_lost": 3}


def swept(low=1, high=4, *, tasks=6, repeats=2, slots=None, buckets=""):
    text = sweep_text(tasks=tasks, repeats=repeats, slots=slots or max(low, high), buckets=buckets)
    sweep = config.parse(text + LEVELS.format(low=low, high=high))
    return sweep, make_plan(sweep, load_tasks(sweep.tasks.source, base=Path()))


class Ran:
    """A sweep on a queue in simulated time; `spans`: (level, began, ended, launch) of every attempt."""

    def __init__(self, sweep, plan, *, calendar=None, seconds=lambda _: 1.0, lost=lambda _: False, restored=None):
        self.slots = compose.slots(sweep)
        self.queue = Queue(
            plan.blocks, calendar or AlwaysOpen(0.0), capacity=sweep.runner.concurrency, caps=CAPS, now=0.0,
            slots=self.slots, restored=restored,
        )  # fmt: skip
        self.spans, self.missing = [], None
        flying, order, now, event, wake = [], count(), 0.0, Tick(), None
        for _ in range(100_000):
            for told in self.queue.handle(event, now):
                if isinstance(told, Launch):
                    heapq.heappush(flying, (now + seconds(told), next(order), now, told))
                elif isinstance(told, Finish):
                    self.missing = told.missing
                    return
                elif isinstance(told, Sleep):
                    wake = told.until
            if flying:
                now, _, began, launch = heapq.heappop(flying)
                trial = launch.trial
                self.spans.append((self.slots[trial.arm], began, now, launch))
                event = Ended(trial.trial_id, "node_lost" if lost(launch) else None)
            else:
                now, event = wake, Tick()
        raise AssertionError("the queue does not end")

    def ended(self):
        """The trials that ran, each as often as it was launched."""
        return Counter(launch.trial.trial_id for *_, launch in self.spans)

    def load(self, level):
        """Attempts in flight on average over the time in which one of the level ran."""
        mine = [(began, ended) for of, began, ended, _ in self.spans if of == level]
        return sum(e - b for b, e in mine) / covered(mine)


def covered(spans):
    """Length of the union of spans."""
    total, until = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total


def most_at_once(spans):
    changes = sorted([(b, 1) for b, _ in spans] + [(e, -1) for _, e in spans])
    here = most = 0
    for _, change in changes:
        here += change
        most = max(most, here)
    return most


def check(ran, plan):
    """What always holds: every trial ended once, levels never mix, and none is above its number."""
    assert ran.missing == 0
    assert ran.ended() == {t.trial_id: 1 for b in plan.blocks for t in b.trials}
    levels = {level: [(b, e) for of, b, e, _ in ran.spans if of == level] for level in set(ran.slots.values())}
    for level, spans in levels.items():
        assert most_at_once(spans) <= level
        for other, theirs in levels.items():
            if other != level:
                together = covered(spans) + covered(theirs) - covered([*spans, *theirs])
                assert together == pytest.approx(0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(low=st.integers(1, 4), more=st.integers(1, 6), spare=st.integers(0, 3), tasks=st.integers(1, 7), data=st.data())
def test_levels_never_mix_and_every_trial_runs_once(low, more, spare, tasks, data):
    sweep, plan = swept(low, low + more, tasks=tasks, slots=low + more + spare)
    lengths = data.draw(st.lists(st.floats(0.1, 9), min_size=5, max_size=5))
    check(Ran(sweep, plan, seconds=lambda launch: lengths[launch.trial.seed % 5]), plan)


def test_the_load_of_a_level_is_kept_up():
    sweep, plan = swept(2, 6, tasks=20, repeats=4)
    ran = Ran(sweep, plan, seconds=lambda launch: 1 + launch.trial.seed % 3)
    check(ran, plan)
    assert most_at_once([(b, e) for of, b, e, _ in ran.spans if of == 6]) == 6
    assert ran.load(2) > 0.95 * 2
    assert ran.load(6) > 0.8 * 6


def test_arms_of_a_block_are_not_far_apart_and_no_level_always_comes_first():
    sweep, plan = swept(1, 4, tasks=20)
    ran, levels = Ran(sweep, plan), defaultdict(list)
    for level, began, _, launch in ran.spans:
        levels[launch.block.block_id].append((began, level))
    # A batch has enough blocks for two turns of the level that wants most; of its arms two run one by one.
    batch = -(-TURNS * 4 // 1)
    longest = batch * 2 + -(-batch // 4)
    assert max(max(found)[0] - min(found)[0] for found in levels.values()) <= longest
    first = Counter(min(found)[1] for found in levels.values())
    assert min(first[1], first[4]) >= 0.3 * len(plan.blocks)


def test_what_a_platform_ended_runs_again_at_once_in_its_level():
    sweep, plan = swept(2, 3)
    unlucky = {b.trials[0].trial_id for b in plan.blocks}
    ran = Ran(sweep, plan, lost=lambda launch: launch.trial.trial_id in unlucky and launch.attempt < 3)
    assert ran.missing == 0
    expected = {t.trial_id: 3 if t.trial_id in unlucky else 1 for b in plan.blocks for t in b.trials}
    assert ran.ended() == expected
    turns = [level for level, *_ in ran.spans]
    assert sum(a != b for a, b in pairwise(turns)) <= len(plan.blocks)


def test_no_block_of_the_next_window_joins_a_batch_of_the_last():
    sweep, plan = swept(1, 3)
    now, later = (Occasion("all", n, f"day {n}", 0.0, math.inf) for n in (1, 2))
    ready = ReadyTrials(3, compose.slots(sweep))
    ready.begin(BlockRun(plan.blocks[0], 1, now, 0.0))
    for _ in range(2):
        assert ready.head(0)[1].arm.factors == ()
        ready.pop()
    # The other level of this block is still to come: a block of this window may join it, one of the next may not.
    assert ready.wants_block(0, now)
    assert not ready.wants_block(0, later)
    assert ready.head(0)[1].arm.factors == (("concurrency", "high"),)
    ready.pop()
    assert not ready
    assert ready.wants_block(0, later)


def test_batches_fit_their_windows_whatever_a_level_would_like():
    # Sixteen blocks would give the level of eight two turns, and take 128 s: more than a window has.
    buckets = "buckets: {period: 160s, windows: {first: 0s-80s, second: 80s-160s}, dates: 2, makeup_dates: 0}"
    sweep, plan = swept(1, 8, tasks=6, buckets=buckets)
    calendar = Cycles(0.0, 160.0, [Window("first", 0.0, 80.0), Window("second", 80.0, 160.0)])
    ran = Ran(sweep, plan, calendar=calendar, seconds=lambda _: 4.0)
    check(ran, plan)
    for _, began, ended, launch in ran.spans:
        at = calendar.at(began)
        assert (at.bucket, at.date) == (launch.block.bucket, launch.block.date)
        assert ended <= at.closes


def test_a_block_that_was_begun_goes_on_with_what_is_left_of_it():
    sweep, plan = swept(1, 4)
    half = {b.block_id: {t.trial_id for t in b.trials[:2]} for b in plan.blocks[:3]}
    state = SweepState(
        blocks={name: RunState(run=1, began=0.0, ended=done) for name, done in half.items()},
        attempts=Counter(t for done in half.values() for t in done),
    )
    ran = Ran(sweep, plan, restored=state)
    done = {t for found in half.values() for t in found}
    assert ran.missing == 0
    assert ran.ended() == {t.trial_id: 1 for b in plan.blocks for t in b.trials if t.trial_id not in done}


def test_a_driver_holds_the_levels_and_resumes_in_them(tmp_path):
    text = sweep_text(tasks=4, slots=3) + LEVELS.format(low=1, high=3)

    class Levelled(Rig):
        def queue(self, clock, calendar):
            return Queue(
                self.study.plan.blocks, calendar, capacity=3, caps=CAPS, now=clock.now(), restored=self.state(),
                slots=compose.slots(self.sweep),
            )  # fmt: skip

    rig = Levelled(tmp_path, text)
    # The loop's time is the virtual clock's.
    stopped = rig.drive(begin=lambda driver: asyncio.get_running_loop().call_later(40.0, driver.interrupt))
    assert stopped.interrupted
    assert 0 < len(rig.finished()) < len(rig.planned())
    assert rig.drive().missing == 0
    rows = [r for r in rig.rows() if r["outcome"] != "cancelled"]
    assert sorted(r["trial_id"] for r in rows) == sorted(t.trial_id for b in rig.study.plan.blocks for t in b.trials)
    for high in (False, True):
        spans = [(r["t_queued"], r["t_stopped"]) for r in rows if (dict(r["factors"]) != {}) == high]
        assert most_at_once([(b.timestamp(), e.timestamp()) for b, e in spans]) <= (3 if high else 1)
