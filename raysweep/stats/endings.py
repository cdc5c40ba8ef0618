"""How attempts ended: the only place that says what y and q of a row are.

y is the reward of a scored trial. A resource cause and an agent's error count 0, and so do a failure of the model's API
that only the agent reports, and tests that gave no reward (an agent can break the tests, and Harbor's mean counts such
trials as 0, too). A cancellation, exhausted platform retries (those of a model API that the gateway saw fail too) and
an OOM of unknown origin are missing (nan, null).
q is 1 where a trial with a y ended in a resource cause and 0 on the other trials with a y, so that p = (1 - q) c holds
exactly; infra_rate, which runs over all attempts, counts platform failures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.columns import coded, flags, numbers
from raysweep.vocabulary import CauseClass, Outcome

ZERO_OUTCOMES = (Outcome.AGENT_ERROR, Outcome.MODEL_API, Outcome.VERIFIER_ERROR)
SCORED = ("pass", "partial", "fail", "no reward")
"""What a scored trial is called by its reward: at least 1, between, at most 0, not a number."""


@dataclass(frozen=True, slots=True)
class Endings:
    """How n attempts ended.

    y: (n,) rewards by the rules above, nan = missing. others: rows that are not scored, ascending; resource, platform:
    rows that ended in such a cause, ascending.
    """

    y: Floats
    others: Ints
    resource: Ints
    platform: Ints

    @property
    def q(self) -> Floats:
        """(n,) 1 where a resource cause ended the attempt, 0 where it has another y, nan where it has none."""
        q = np.where(np.isfinite(self.y), 0.0, np.nan)
        q[self.resource] = 1.0
        return q


def endings(table: pa.Table) -> Endings:
    """The endings of all rows; what is not scored is looked at apart, because most rows are."""
    y = numbers(table["reward"])
    y = y if y.flags.writeable else y.copy()
    if np.isinf(y).any():
        y[np.isinf(y)] = np.nan
    others = np.flatnonzero(~flags(pc.equal(table["outcome"], Outcome.SCORED)))
    y[others] = np.nan
    rest = table.select(["outcome", "cause_class"]).take(pa.array(others))
    resource, platform = flags(is_resource(rest)), flags(is_platform(rest))
    counted = pc.fill_null(pc.not_equal(rest["cause_class"], CauseClass.PLATFORM), fill_value=True)
    zero = flags(pc.and_(pc.is_in(rest["outcome"], value_set=pa.array(ZERO_OUTCOMES)), counted))
    y[others[resource | zero]] = 0.0
    return Endings(y, others, others[resource], others[platform])


def outcomes(table: pa.Table) -> tuple[Ints, tuple[str, ...]]:
    """What each row ended as: codes (n,) into the names pass, partial, fail, "no reward", then causes and outcomes."""
    end = endings(table)
    code = np.full(len(end.y), 3, dtype=np.int64)
    for number, mask in enumerate((end.y >= 1.0, (end.y > 0.0) & (end.y < 1.0), end.y <= 0.0)):
        code[mask] = number
    rest = table.select(["outcome", "cause"]).take(pa.array(end.others))
    cause = pc.fill_null(rest["cause"], fill_value="infra")
    infra = pc.fill_null(pc.equal(rest["outcome"], Outcome.INFRA), fill_value=False)
    codes, names = coded(pc.if_else(infra, cause, pc.fill_null(rest["outcome"], fill_value="unknown")))
    code[end.others] = codes + len(SCORED)
    return code, (*SCORED, *names.to_pylist())


def is_resource(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a resource cause (by cause_class: `oom_node` can be either)."""
    return _ended_in(table, CauseClass.RESOURCE)


def is_platform(table: pa.Table) -> pa.ChunkedArray:
    """True where an attempt ended in a platform cause."""
    return _ended_in(table, CauseClass.PLATFORM)


def _ended_in(table: pa.Table, cause_class: CauseClass) -> pa.ChunkedArray:
    both = pc.and_kleene(pc.equal(table["outcome"], Outcome.INFRA), pc.equal(table["cause_class"], cause_class))
    return pc.fill_null(both, fill_value=False)


def y_of(table: pa.Table) -> pa.Array:
    """Reward y per row (double, null = missing) by the rules in the module's docstring."""
    return pa.array(endings(table).y, from_pandas=True)
