"""Further runs of blocks: when they come, when no more, and what the ledger says in the end, whatever happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.record.reader import with_is_final
from raysweep.record.resume import sweep_state, unfinished
from raysweep.schedule.blockrun import GRACE_S
from raysweep.schedule.calendar import AlwaysOpen, Cycles, Window
from raysweep.schedule.messages import Ended, Finish, Halt, Launch, Sleep, Tick
from raysweep.schedule.queue import Queue
from support.plans import CYCLES, plan_of

CAPS = {"node_lost": 1, "image": 0}
RERUNS = 2
PERIOD = 200.0
WINDOWS = {"first": (0.0, 60.0), "second": (100.0, 160.0)}
COLUMNS = ("trial_id", "attempt_id", "block_id", "block_run", "attempt", "outcome", "cause", "cause_class")
SCHEMA = pa.schema([
    *((c, pa.int64() if c in {"block_run", "attempt"} else pa.string()) for c in COLUMNS),
    ("t_queued", pa.timestamp("us", "UTC")), ("t_stopped", pa.timestamp("us", "UTC")),
])  # fmt: skip


def calendar():
    return Cycles(0.0, PERIOD, [Window(name, *bounds) for name, bounds in WINDOWS.items()])


def closes(bucket, moment):
    """When the window of this bucket closes, or closed last, that had opened by `moment`; by hand."""
    start, end = WINDOWS[bucket]
    return ((moment - start) // PERIOD) * PERIOD + end


class World:
    """A ledger, the attempts that run, and a clock; `queue` is one process's, and can be lost at any moment."""

    def __init__(self, plan, capacity, always_open=False):
        self.plan, self.capacity, self.always = plan, capacity, always_open
        self.now, self.rows, self.sealed, self.running = 0.0, [], 0, []
        self.began = {}
        self.over = None
        self.start()

    def start(self):
        self.running, self.over = [], None
        self.queue = Queue(
            self.plan.blocks,
            AlwaysOpen(0.0) if self.always else calendar(),
            capacity=self.capacity, caps=CAPS, reruns=RERUNS, now=self.now, last_planned_date=2, makeup_dates=2,
            restored=sweep_state(self.table(), len(self.plan.blocks[0].trials)),
        )  # fmt: skip
        self.began = {}
        for row in self.rows:
            key = (row["block_id"], row["block_run"])
            self.began[key] = min(self.began.get(key, self.now), row["t_queued"].timestamp())
        self.tell(Tick())

    def table(self):
        return pa.Table.from_pylist(self.rows, schema=SCHEMA)

    def tell(self, event):
        for instruction in self.queue.handle(event, self.now):
            if isinstance(instruction, Launch):
                self.launch(instruction)
            elif isinstance(instruction, Sleep):
                self.until = instruction.until
            elif isinstance(instruction, Finish):
                assert not self.running
                self.over = instruction

    def launch(self, launch):
        trial, run = launch.trial.trial_id, launch.block_run
        mine = [r for r in self.rows if r["trial_id"] == trial]
        assert launch.attempt == 1 + max((r["attempt"] for r in mine), default=0)
        assert len(self.running) < self.capacity
        assert trial not in {one.trial.trial_id for one, _ in self.running}
        this = [r for r in mine if r["block_run"] == run]
        assert all(unfinished(r) for r in this), "an outcome is never retried within its run"
        for cause, n in Counter(r["cause"] for r in this if r["cause"]).items():
            assert n <= CAPS[cause]
        assert run <= 1 + RERUNS
        key = (launch.block.block_id, run)
        if not self.always:
            bucket = launch.block.bucket
            end = closes(bucket, self.began.setdefault(key, self.now))
            assert self.now < end + min(60.0, GRACE_S), "nothing starts outside its window and the time to finish"
            if self.began[key] == self.now and (key[0], run - 1) in self.began:
                assert self.now >= closes(bucket, self.began[key[0], run - 1]), "again in a later window only"
        self.running.append((launch, self.now))

    def end(self, place, fate):
        if not self.running:
            return
        launch, queued = self.running.pop(place % len(self.running))
        outcome, cause = ("scored", None) if fate == "ok" else ("cancelled", None)
        if fate in CAPS:
            outcome, cause = "infra", fate
        self.rows.append({
            "trial_id": launch.trial.trial_id, "attempt_id": f"{launch.trial.trial_id}-{launch.attempt}",
            "block_id": launch.block.block_id, "block_run": launch.block_run, "attempt": launch.attempt,
            "outcome": outcome, "cause": cause, "cause_class": "platform" if cause else None,
            "t_queued": datetime.fromtimestamp(queued, UTC), "t_stopped": datetime.fromtimestamp(self.now, UTC),
        })  # fmt: skip
        self.tell(Ended(launch.trial.trial_id, cause, cancelled=fate == "cancelled"))

    def kill(self, lost):
        """SIGKILL: what runs is gone, and the last rows that were not sealed too."""
        keep = max(self.sealed, len(self.rows) - lost)
        self.rows = self.rows[:keep]
        self.sealed = keep

    def stop(self, fate):
        """A clean stop that launches nothing more; what runs is cancelled or ends."""
        self.tell(Halt(finish_blocks=False))
        while self.running:
            self.end(0, fate)
        assert self.over is not None

    def finish(self):
        """Everything goes well from here on."""
        for _ in range(10_000):
            if self.over is not None:
                return
            if self.running:
                self.now += 3.0
                self.end(0, "ok")
            else:
                self.now = max(self.now, self.until)
                self.tell(Tick())
        raise AssertionError("the queue does not end")

    def complete(self):
        """Blocks with a complete run, by the rows alone."""
        ended = defaultdict(set)
        for row in self.rows:
            if not unfinished(row):
                ended[row["block_id"], row["block_run"]].add(row["trial_id"])
        sizes = {b.block_id: len(b.trials) for b in self.plan.blocks}
        return {block for (block, _), trials in ended.items() if len(trials) == sizes[block]}

    def check_end(self):
        planned = pa.Table.from_pylist(
            [{"block_id": b.block_id, "trial_id": t.trial_id} for b in self.plan.blocks for t in b.trials]
        )
        rows = with_is_final(self.table(), planned).to_pylist()
        final = [r for r in rows if r["is_final"]]
        assert not [t for t, n in Counter(r["trial_id"] for r in final).items() if n > 1]
        runs = defaultdict(set)
        for r in final:
            runs[r["block_id"]].add(r["block_run"])
        assert all(len(found) == 1 for found in runs.values()), "a block's final rows are of one run"
        done = Counter(r["block_id"] for r in final if not unfinished(r))
        sizes = {b.block_id: len(b.trials) for b in self.plan.blocks}
        assert {b for b, n in done.items() if n == sizes[b]} == self.complete()
        assert self.over.missing == len(self.plan.blocks) - len(self.complete())


STEPS = st.one_of(
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["ok", "ok", "node_lost", "image"])),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 7.0, 30.0, 90.0])),
    st.tuples(st.just("kill"), st.integers(0, 3), st.sampled_from([0.0, 20.0, 70.0, 250.0])),
    st.tuples(st.just("stop"), st.sampled_from(["cancelled", "ok", "node_lost"]), st.sampled_from([0.0, 30.0, 150.0])),
    st.tuples(st.just("halt"), st.sampled_from([0.0, 100.0])),
)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=40),
    capacity=st.integers(1, 5),
    tasks=st.integers(1, 3),
    always=st.booleans(),
)
def test_whatever_happens_final_rows_are_of_one_complete_run_or_the_block_is_missing(steps, capacity, tasks, always):
    world = World(plan_of(tasks=tasks, buckets="" if always else CYCLES), capacity, always)
    for what, *how in steps:
        if what == "end":
            world.now += 1.0
            world.end(*how)
        elif what == "wait":
            world.now += how[0]
            if world.over is None:
                world.tell(Tick())
        elif what == "kill":
            world.kill(how[0])
            world.now += how[1]
            world.start()
        elif what == "stop":
            world.stop(how[0])
            world.sealed = len(world.rows)
            world.now += how[1]
            world.start()
        else:
            world.tell(Halt())
            world.finish()
            world.check_end()
            world.now += how[0]
            world.start()
    world.finish()
    world.check_end()


def unlucky(world, runs, cause="image"):
    """Drive to the end while one trial is lost in each of these runs of its block; launches of that block."""
    victim = world.plan.blocks[0].trials[0].trial_id
    seen = []
    while world.over is None:
        for launch, began in list(world.running):
            if launch.block is world.plan.blocks[0] and (launch, began) not in seen:
                seen.append((launch, began))
        if not world.running:
            world.now = max(world.now, world.until)
            world.tell(Tick())
            continue
        world.now += 3.0
        launch = world.running[0][0]
        world.end(0, cause if launch.trial.trial_id == victim and launch.block_run in runs else "ok")
    return seen


def test_caps_used_up_in_an_occasion_let_the_whole_block_run_again_in_the_next_window_of_its_bucket():
    world = World(plan_of(tasks=2, buckets=CYCLES), 2)
    seen = unlucky(world, {1})
    block = world.plan.blocks[0]
    again = [(launch, began) for launch, began in seen if launch.block_run == 2]
    assert {launch.trial.trial_id for launch, _ in again} == {t.trial_id for t in block.trials}, "all arms again"
    opens = PERIOD + WINDOWS[block.bucket][0]
    assert all(opens <= began < opens + 60.0 for _, began in again)
    assert world.over.missing == 0
    world.check_end()


def test_a_retry_is_counted_within_its_run_so_a_further_run_has_all_of_its_own():
    world = World(plan_of(tasks=2, buckets=CYCLES), 2)
    seen = unlucky(world, {1, 2}, cause="node_lost")
    victim = world.plan.blocks[0].trials[0].trial_id
    assert [launch.block_run for launch, _ in seen if launch.trial.trial_id == victim] == [1, 1, 2, 2, 3]
    assert world.over.missing == 0


def test_runs_used_up_leave_the_block_missing():
    world = World(plan_of(tasks=2, buckets=CYCLES), 2)
    seen = unlucky(world, {1, 2, 3})
    assert max(launch.block_run for launch, _ in seen) == 1 + RERUNS
    assert world.over.missing == 1
    world.check_end()
    world.start()
    assert world.over == Finish(1), "another driver does not try for ever"


def test_where_no_window_ever_closes_the_next_driver_runs_the_block_again_within_the_cap():
    world = World(plan_of(tasks=2), 2, always_open=True)
    runs = []
    for _ in range(5):
        seen = unlucky(world, {1, 2, 3})
        runs += sorted({launch.block_run for launch, _ in seen})
        assert world.over.missing == 1
        world.start()
    assert runs == [1, 2, 3]


def test_retries_before_a_restart_count():
    world = World(plan_of(tasks=1), 1, always_open=True)
    world.end(0, "node_lost")
    world.kill(0)
    world.start()
    assert (world.running[0][0].attempt, world.running[0][0].block_run) == (2, 1)
    world.end(0, "node_lost")
    assert world.running[0][0].trial != world.plan.blocks[0].trials[0], "one retry in all, not one per process"


def test_what_waits_for_a_slot_beyond_the_time_to_finish_runs_again_with_its_block():
    world = World(plan_of(tasks=3, buckets=CYCLES), 1)
    world.now = 3.0
    for _ in world.plan.blocks[0].trials:
        world.end(0, "ok")
    slow, waiting = world.plan.blocks[1].trials
    assert world.running[0][0].trial == slow
    world.now = 125.0
    world.end(0, "ok")
    assert world.running[0][0].block.bucket == "second"
    world.finish()
    assert [r["block_run"] for r in world.rows if r["trial_id"] == slow.trial_id] == [1, 2]
    assert [r["block_run"] for r in world.rows if r["trial_id"] == waiting.trial_id] == [2]
    assert world.over.missing == 0
    world.check_end()


def test_the_occasion_of_a_run_is_known_although_only_a_late_attempt_of_it_was_sealed():
    world = World(plan_of(tasks=1, buckets=CYCLES), 1)
    world.now = 58.0
    first = world.running[0][0]
    world.end(0, "node_lost")
    world.running[0] = (world.running[0][0], 110.0)  # in the other bucket's window, before the time to finish is over
    world.now = 112.0
    world.end(0, "node_lost")
    world.rows = world.rows[1:]
    world.now = 130.0
    world.start()
    assert first.block.bucket == "first"
    assert all(launch.block.bucket == "second" for launch, _ in world.running), "its own window closed 70 s ago"
