from __future__ import annotations

from collections import Counter

import pytest

from raysweep import config
from raysweep.schedule.breaker import Breaker
from raysweep.schedule.driver import Stop
from support.driving import Rig
from support.plans import sweep_text


def lost(cause="node_lost", node=None):
    return {"outcome": "infra", "cause": cause, "cause_class": "platform", "node": {"name": node} if node else None}


SCORED = {"outcome": "scored", "cause": None, "cause_class": None, "node": None}
OWN = {"outcome": "infra", "cause": "oom_limit", "cause_class": "resource", "node": {"name": "n1"}}
CANCELLED = {"outcome": "cancelled", "cause": None, "cause_class": None, "node": None}


def last(rows, rate=0.5, window=4):
    breaker = Breaker(rate, window)
    return [breaker.add(row) for row in rows][-1]


@pytest.mark.parametrize(
    ("rows", "opens"),
    [
        ([lost()] * 3, False),  # too few to be a rate
        ([lost()] * 4, True),
        ([lost(), lost(), SCORED, SCORED], False),  # the rate itself is not beyond it
        ([lost(), lost(), lost(), SCORED], True),
        ([OWN] * 9, False),  # outcomes of the arm are none of its business
        ([lost(), lost(), SCORED, lost()], True),
        ([lost(), lost(), CANCELLED, lost()], False),  # says nothing, and does not count
        ([lost()] * 3 + [SCORED] * 4, False),  # long ago
        ([SCORED] * 9 + [lost()] * 3, True),
    ],
)
def test_it_opens_when_more_than_the_rate_of_a_whole_window_is_lost(rows, opens):
    assert (last(rows) is not None) == opens


def test_it_says_how_many_of_how_many_by_cause_and_where():
    rows = [lost(node="n2"), lost("image"), lost(node="n1"), lost(node="n2"), SCORED]
    said = last(rows, window=5)
    assert "4 of the last 5 attempts" in said
    assert "50 %" in said
    assert "3 node_lost, 1 image" in said
    assert "2 n2, 1 n1" in said


def test_it_closes_when_attempts_end_well_again():
    breaker = Breaker(0.5, 4)
    said = [breaker.add(row) for row in [lost()] * 4 + [SCORED] * 2]
    assert [s is not None for s in said] == [False, False, False, True, True, False]


def test_the_default_window_bears_the_loss_of_everything_in_flight():
    sweep = config.parse(sweep_text())
    assert sweep.breaker.attempts(2) == 50
    for slots in (2, 200):
        breaker = Breaker(sweep.breaker.rate, sweep.breaker.attempts(slots))
        rows = [SCORED] * 500 + [lost("runner_lost")] * slots + [SCORED] * 500
        assert all(breaker.add(row) is None for row in rows)
    assert config.parse(sweep_text() + "breaker: null\n").breaker is None


def test_the_driver_pauses_launches_nothing_more_and_the_next_one_goes_on(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=8, slots=3, platform="{node_lost: 0.7}"))
    breaker = Breaker(0.5, 10)
    launched_then = []

    def stop(row):
        reason = breaker.add(row)
        if reason is None:
            return None
        launched_then.append(len(rig.launched))
        return Stop(reason, "breaker", finish_blocks=False)

    result = rig.drive(stop=stop)
    assert (result.stopped.kind, result.interrupted) == ("breaker", False)
    assert "node_lost" in result.stopped.reason
    assert len(rig.launched) == launched_then[0], "nothing is launched once it is open"
    rows = rig.rows()
    assert len(rows) == len(rig.launched), "what ran has ended and is recorded"
    assert "cancelled" not in {r["outcome"] for r in rows}
    assert result.missing > 0
    before = rig.finished()
    rig.drive()
    assert set(before) <= set(rig.finished())
    assert max(Counter((r["trial_id"], r["block_run"], r["cause"]) for r in rig.rows() if r["cause"]).values()) <= 3


def test_a_budget_that_is_spent_first_still_lets_the_breaker_leave_begun_blocks(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=4, slots=1))
    stops = iter([Stop("the budget is spent", "budget"), Stop("all is lost", "breaker", finish_blocks=False)])
    result = rig.drive(stop=lambda _: next(stops, None))
    assert result.stopped.kind == "breaker"
    assert len(rig.launched) == 2
