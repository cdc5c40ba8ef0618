"""OOM kills in real local sandboxes, through a whole attempt: whose limit was full decides the outcome."""

from __future__ import annotations

import pytest

from raysweep.units import MIB
from support.attempts import CHILD, HOG, REWARD, attempt, verdict

pytestmark = pytest.mark.sandbox


async def test_an_agent_killed_at_its_own_limit_is_oom_limit(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "1x", HOG.format(sleep=0))
    assert verdict(done) == ("infra", "oom_limit", "resource", "agent")
    assert done.row["agent_exit"] == 137
    assert done.row["oom_kills"] >= 1


async def test_a_child_killed_while_the_agent_survives_is_scored_with_the_kill_beside_it(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "1x", CHILD, f"[ -s /app/answer ] && {REWARD}")
    assert verdict(done) == ("scored", None, None, "verifier")
    assert (done.row["oom_kills"], done.row["reward"]) == (1, 1.0)


async def test_the_runs_own_parent_group_full_is_oom_node_and_the_arms_doing_above_its_request(tmp_path, needs_local):
    hog = HOG.format(sleep=0).replace("200 << 20", "400 << 20")
    done = await attempt(tmp_path, needs_local, "uncapped", hog, run_memory=160 * MIB)
    assert verdict(done) == ("infra", "oom_node", "resource", "agent")


async def test_a_verifier_that_is_the_hog_is_oom_verifier(tmp_path, needs_local):
    test = HOG.format(sleep=0).removeprefix("exec ") + f" && {REWARD}"
    done = await attempt(tmp_path, needs_local, "1x", "true", test)
    assert verdict(done) == ("infra", "oom_verifier", "resource", "verifier")
    assert (done.row["oom_kills"], done.row["verifier_oom_kills"]) == (0, 1)


async def test_a_spike_that_fits_is_scored(tmp_path, needs_local):
    done = await attempt(tmp_path, needs_local, "uncapped", HOG.format(sleep=0))
    assert verdict(done) == ("scored", None, None, "verifier")
    assert done.row["mem_peak_bytes"] >= 200 * MIB
