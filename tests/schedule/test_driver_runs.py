"""The driver on virtual time: the same rows whatever the slots, and what it does when runners die or code breaks."""

from __future__ import annotations

from collections import Counter

import pytest

from raysweep.errors import LockLostError
from raysweep.record.lock import epoch_name
from raysweep.schedule.budget import Meter
from raysweep.schedule.driver import Stop
from raysweep.schedule.executor import RunnerLostError
from support.driving import ANCHOR, Rig
from support.plans import CYCLES, sweep_text
from support.wrapped import wrapping

FAULTS = "{node_lost: 0.15, api_server: 0.1}"


@pytest.mark.parametrize("buckets", ["", CYCLES], ids=["always", "cycles"])
def test_the_same_seed_gives_the_same_rows_with_1_and_8_slots(tmp_path, buckets):
    rows = {}
    for slots in (1, 8):
        options = {"tasks": 5, "repeats": 4, "platform": FAULTS, "buckets": buckets, "slots": slots}
        rig = Rig(tmp_path / str(slots), sweep_text(**options))
        assert rig.drive().missing == 0
        rows[slots] = rig.stable_rows()
    assert rows[1] == rows[8]
    assert {r["cause"] for r in rows[1]} >= {"node_lost", "api_server", "oom_limit"}, "the faults must be at work"
    assert max(r["attempt"] for r in rows[1]) > 1


def test_another_seed_gives_other_rows(tmp_path):
    seen = []
    for seed in (7, 8):
        rig = Rig(tmp_path / str(seed), sweep_text(seed=seed, tasks=5))
        rig.drive()
        seen.append([(r["task"], r["band"], r["repeat"], r["outcome"], r["reward"]) for r in rig.rows()])
    assert sorted(map(str, seen[0])) != sorted(map(str, seen[1]))


def test_a_lost_runner_becomes_a_row_and_a_second_attempt_in_the_same_block_run(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=3))
    unlucky = rig.study.plan.blocks[1].trials[0].trial_id

    async def run(inner, order):
        if order.trial.trial_id == unlucky and order.attempt == 1:
            raise RunnerLostError("the actor died")
        return await inner.run(order)

    result = rig.drive(wrap=wrapping(run))
    assert result.missing == 0
    first, second = (r for r in rig.rows() if r["trial_id"] == unlucky)
    assert (first["outcome"], first["cause"], first["cause_class"]) == ("infra", "runner_lost", "platform")
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert (first["block_run"], second["block_run"]) == (1, 1)
    assert second["t_queued"] >= first["t_stopped"]
    assert sorted(rig.finished()) == rig.planned()
    assert Counter(r["attempt"] for r in rig.rows()) == {1: len(rig.planned()), 2: 1}


def test_a_bug_stops_the_run_but_seals_what_there_was(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=4, slots=2))
    fatal = rig.study.plan.blocks[4].trials[0].trial_id

    async def run(inner, order):
        if order.trial.trial_id == fatal:
            raise KeyError("our own mistake")
        return await inner.run(order)

    with pytest.raises(KeyError, match="our own mistake"):
        rig.drive(wrap=wrapping(run))
    rows = rig.rows()
    assert {r["trial_id"] for r in rows} == {launch.trial.trial_id for launch in rig.launched} - {fatal}
    assert len(rig.finished()) >= 6
    before = rig.finished()
    assert rig.drive().missing == 0
    assert sorted(rig.finished()) == rig.planned(), "nothing finished is run again"
    assert set(before) <= set(rig.finished())


@pytest.mark.parametrize("slots", [1, 3])
def test_a_spent_budget_finishes_begun_blocks_and_releases_no_more(tmp_path, slots):
    rig = Rig(tmp_path, sweep_text(tasks=8, slots=slots))
    spent_at = []
    meter = Meter(usd_bound=None, hours_bound=30 / 3600, usd_per_cpu_hour=0.0, usd_per_gib_hour=0.0)

    def stop(row):
        reason = meter.add(row)
        if reason and not spent_at:
            spent_at.append({launch.block.block_id for launch in rig.launched})
        return Stop(reason, "budget") if reason else None

    result = rig.drive(stop=stop)
    assert result.stopped is not None
    assert "agent hours" in result.stopped.reason
    assert not result.interrupted
    blocks = Counter(r["block_id"] for r in rig.rows())
    assert set(blocks) == spent_at[0], "no block is begun once the budget is spent"
    assert set(blocks.values()) == {2}, "every block that was begun has both its arms"
    assert 0 < result.missing == len(rig.study.plan.blocks) - len(blocks)


CROSSING = "buckets: {period: 30s, windows: {first: 0s-10s, second: 12s-22s}, dates: 2}"


def window_at(moment):
    """(bucket, cycle) of the sweep's own windows, worked out by hand; None in a gap."""
    cycle, offset = divmod(moment.timestamp() - ANCHOR, 30.0)
    if offset < 10:
        return "first", f"cycle {int(cycle) + 1}"
    return ("second", f"cycle {int(cycle) + 1}") if 12 <= offset < 22 else None


def test_rows_say_in_which_window_they_really_ran(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=4, repeats=2, buckets=CROSSING, slots=2))
    rig.drive()
    rows = rig.rows()
    for row in rows:
        began, ended = window_at(row["t_queued"]), window_at(row["t_stopped"])
        assert (row["actual_bucket"], row["actual_occasion"]) == (began or (None, None))
        assert row["crossed_boundary"] == (began is None or began != ended)
    assert {r["crossed_boundary"] for r in rows} == {True, False}, "both kinds must occur for this test to say much"
    planned = {t.trial_id: (b.bucket, f"cycle {b.date}") for b in rig.study.plan.blocks for t in b.trials}
    assert all((r["bucket"], r["occasion"]) == planned[r["trial_id"]] for r in rows)


def test_a_driver_that_lost_its_lock_stops_at_once_and_adds_nothing(tmp_path):
    rig = Rig(tmp_path, sweep_text(tasks=8, slots=2))
    sealed, launched = [], []

    async def run(inner, order):
        row = await inner.run(order)
        if len(rig.launched) == 6:
            sealed.append(rig.store.names("ledger"))
            launched.append(len(rig.launched))
            rig.store.put_new(epoch_name(2), b'{"epoch": 2, "sealed": {}}')
        return row

    with pytest.raises(LockLostError, match="epoch 2"):
        rig.drive(wrap=wrapping(run))
    assert [n for n in rig.store.names("ledger") if n.startswith("segment")] == [
        n for n in sealed[0] if n.startswith("segment")
    ]
    assert len(rig.launched) == launched[0], "nothing is launched by a driver that lost its lock"
