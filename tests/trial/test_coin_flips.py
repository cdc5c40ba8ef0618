"""A coin-flip agent that breaks its sandbox whenever it has lost gains nothing: what it leaves counts 0."""

from __future__ import annotations

import pytest

from support.attempts import attempt
from support.coin_flips import LOSSES, TEST, WIN, y_of_attempt

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize("how", LOSSES)
async def test_a_loss_that_is_voided_counts_nothing_and_is_not_repeated(tmp_path, needs_local, how):
    done = await attempt(tmp_path, needs_local, "1x", LOSSES[how], TEST)
    assert y_of_attempt(done) == 0.0, done.row
    assert done.row["cause_class"] != "platform"


async def test_a_win_counts(tmp_path, needs_local):
    assert y_of_attempt(await attempt(tmp_path, needs_local, "1x", WIN, TEST)) == 1.0
