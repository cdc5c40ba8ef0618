"""When a block that is not complete began: that decides in which occasion a resumed driver goes on with it."""

from __future__ import annotations

import pytest

from raysweep.record.resume import sweep_state
from raysweep.record.schema import to_table
from support.local_ledger import row

ARMS = 3


def state(*rows):
    return sweep_state(to_table(list(rows)), ARMS)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["sealed-in-order", "sealed-the-other-way"])
def test_a_block_began_with_its_first_attempt_whichever_was_sealed_first(order):
    rows = {n: row(f"t{n}", t_queued=1000.0 * n, t_stopped=5000.0) for n in (1, 2)}
    assert state(*(rows[n] for n in order)).blocks["b1"].began == 1000.0


def test_a_retry_that_was_queued_first_by_the_clock_counts_too():
    rows = [row("t1", t_queued=2000.0), row("t2", 2, t_queued=1500.0)]
    assert state(*rows).blocks["b1"].began == 1500.0


def test_a_further_run_began_with_its_own_first_attempt():
    earlier = [row(f"t{n}", run=1, t_queued=1000.0 + n) for n in (1, 2)]
    later = [row("t1", 2, run=2, t_queued=9000.0), row("t2", 2, run=2, t_queued=8000.0)]
    block = state(*earlier, *later).blocks["b1"]
    assert (block.run, block.began, block.ended) == (2, 8000.0, {"t1", "t2"})
