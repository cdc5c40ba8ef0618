"""Ctrl-C at any moment: what is in flight ends as `cancelled`, nothing new begins, and the same command resumes."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedule.driver import Stop
from raysweep.schedule.executor import RunnerLostError
from support.driving import Rig
from support.plans import CYCLES, sweep_text
from support.wrapped import wrapping

FAULTS = "{node_lost: 0.3}"


def interrupt_at(seconds, launched_then, rig):
    def begin(driver):
        def now():
            driver.interrupt()
            launched_then.append(len(rig.launched))

        asyncio.get_running_loop().call_later(seconds, now)

    return begin


def check_interrupted(rig, result, launched_then):
    assert result.interrupted
    assert result.stopped.kind == "interrupted"
    assert len(rig.launched) == launched_then[0], "nothing begins after the interruption"
    rows = Counter((r["trial_id"], r["attempt"]) for r in rig.rows())
    assert rows == Counter((x.trial.trial_id, x.attempt) for x in rig.launched), "every attempt has its one row"


@settings(max_examples=12, deadline=None)
@given(
    seconds=st.one_of(st.just(0.0), st.floats(0.0, 60.0)),
    slots=st.integers(1, 9),
    buckets=st.sampled_from(["", CYCLES]),
    pulse=st.sampled_from([2.0, 3600.0]),
)
def test_interrupting_at_any_moment_records_all_begins_nothing_and_can_be_resumed(seconds, slots, buckets, pulse):
    with tempfile.TemporaryDirectory() as folder:
        options = {"tasks": 6, "repeats": 2, "slots": slots, "buckets": buckets, "platform": FAULTS}
        rig = Rig(Path(folder) / "run", sweep_text(**options))
        launched_then = []
        result = rig.drive(begin=interrupt_at(seconds, launched_then, rig), pulse=pulse)
        if result.interrupted:
            check_interrupted(rig, result, launched_then)
        finished = set(rig.finished())
        begun_again = len(rig.launched)
        final = rig.drive()
        again = {x.trial.trial_id for x in rig.launched[begun_again:] if x.block_run == 1}
        assert not again & finished, "what had finished is not run again in its block run"
        if not buckets:
            assert final.missing == sum(
                not {t.trial_id for t in b.trials} <= set(rig.finished()) for b in rig.study.plan.blocks
            )
            assert max(Counter(rig.finished()).values()) == 1


def test_an_attempt_that_was_launched_but_not_begun_is_recorded_as_cancelled(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=3, slots=4))
    result = rig.drive(begin=lambda driver: asyncio.get_running_loop().call_soon(driver.interrupt))
    assert result.interrupted
    assert len(rig.launched) == 4
    assert [r["outcome"] for r in rig.rows()] == ["cancelled"] * 4
    assert all(r["t_created"] is None for r in rig.rows()), "they had not begun"


def test_interrupting_a_run_that_was_finishing_its_last_blocks_leaves_them(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=4, slots=1))

    async def run(inner, order):
        if len(rig.launched) == 2:
            asyncio.get_running_loop().call_soon(rig.driver.interrupt)
            raise RunnerLostError("it would be retried at once")
        return await inner.run(order)

    result = rig.drive(wrap=wrapping(run), stop=lambda _: Stop("the budget is spent", "budget"))
    assert result.interrupted
    assert [(x.trial.position, x.attempt) for x in rig.launched] == [(0, 1), (1, 1)]
    assert [r["cause"] for r in rig.rows()].count("runner_lost") == 1


def test_interrupting_while_waiting_for_a_window_ends_without_a_row(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=2, repeats=2, buckets=CYCLES, slots=4))
    launched_then = []
    result = rig.drive(begin=interrupt_at(60.0, launched_then, rig))
    check_interrupted(rig, result, launched_then)
    assert "cancelled" not in {r["outcome"] for r in rig.rows()}
    assert result.missing == len(rig.study.plan.blocks) - 2
