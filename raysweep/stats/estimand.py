"""The estimands of a trial as Arrow columns; the only place that says what y and q of a row are.

y is the reward of a scored trial; a resource cause, an agent's error and a model API that failed to the end count 0;
a verifier's error, a cancellation, exhausted platform retries and an OOM of unknown origin are missing (null).
q is 1 where a trial with a y ended in a resource cause and 0 on the other trials with a y, so that p = (1 - q) c holds
exactly; platform deaths are told by infra_rate, which runs over all attempts.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

ESTIMANDS = {
    "success": "mean reward per trial, equal weight per task; infrastructure death at the swept limit counts as 0",
    "q_trial": "share of trials whose final attempt ended in infrastructure of the arm's own making",
    "success_given_clean": "mean reward among the trials that infrastructure did not end (descriptive: it selects)",
    "infra_rate_resource": "share of all attempts that ended in a resource cause (the arm's)",
    "infra_rate_platform": "share of all attempts that ended in a platform cause (node, image, API server)",
    "success_platform_zero": "success with trials counted 0 whose first attempt ended in a platform cause",
}
ZERO_OUTCOMES = ("agent_error", "model_api")


def is_resource(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a resource cause (by cause_class: `oom_node` can be either)."""
    return _and_equal(table, "infra", "resource")


def is_platform(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a platform cause."""
    return _and_equal(table, "infra", "platform")


def _and_equal(table: pa.Table, outcome: str, cause_class: str) -> pa.ChunkedArray:
    both = pc.and_kleene(pc.equal(table["outcome"], outcome), pc.equal(table["cause_class"], cause_class))
    return pc.fill_null(both, fill_value=False)


def y_of(table: pa.Table) -> pa.ChunkedArray:
    """Reward y per row (double, null = missing) by the rules in the module's docstring."""
    zero = pc.or_(is_resource(table), pc.is_in(table["outcome"], value_set=pa.array(ZERO_OUTCOMES)))
    scored = pc.fill_null(pc.equal(table["outcome"], "scored"), fill_value=False)
    null = pa.scalar(None, pa.float64())
    reward = pc.if_else(pc.fill_null(pc.is_finite(table["reward"]), fill_value=False), table["reward"], null)
    return pc.if_else(zero, 0.0, pc.if_else(scored, reward, null))
