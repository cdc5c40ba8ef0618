"""As tests/trial/test_coin_flips.py, in containers, where the agent may write to the image's own folders."""

from __future__ import annotations

import pytest

from support.attempts import attempt
from support.coin_flips import LOSSES, TEST, WIN, y_of_attempt

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("how", LOSSES)
async def test_a_loss_that_is_voided_counts_nothing_and_is_not_repeated(tmp_path, provider, how):
    done = await attempt(tmp_path, tmp_path, "1x", LOSSES[how], TEST, provider=provider)
    assert y_of_attempt(done) == 0.0, done.row
    assert done.row["cause_class"] != "platform"


async def test_a_win_counts(tmp_path, provider):
    assert y_of_attempt(await attempt(tmp_path, tmp_path, "1x", WIN, TEST, provider=provider)) == 1.0
