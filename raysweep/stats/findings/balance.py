"""Balance of the design: planned blocks without a complete run by bucket and date, and what they cost.

Belongs here: counts of whole blocks against the plan, and how much less the design can detect without them. Does not:
causes of missing results (missing), blocks that ran elsewhere than planned (checks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.finding import Check
from raysweep.stats.methods.power import reach, stated_noise
from raysweep.vocabulary import CheckStatus

POWER = 0.8
SHOWN = 6
"""So many windows are named in a sentence."""


@dataclass(frozen=True, slots=True)
class OccasionCount:
    """A bucket on its `date` (1, 2, ...): planned blocks, those without a complete run, and those with an attempt."""

    bucket: str
    date: int
    blocks: int
    missing: int
    begun: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Smallest contrast over tasks like these, percentage points, as planned and with what is missing left out.

    At 80 % power and the worst case of a mean success of 50 %. None where nothing can be shown.
    """

    planned: float | None
    now: float | None


def cells(table: pa.Table, planned: pa.Table) -> tuple[OccasionCount, ...]:
    """Every planned (bucket, date) in the order of the plan. table: all attempts, with is_final; planned: the plan.

    A block is complete when each of its trials has a final attempt that is neither cancelled nor ended by a platform
    cause.
    """
    platform = pc.fill_null(pc.equal(table["cause_class"], "platform"), fill_value=False)
    left = pc.or_(platform, pc.fill_null(pc.equal(table["outcome"], "cancelled"), fill_value=False))
    done = _ids(table.filter(pc.and_not(table["is_final"], left)))
    trials = pa.table(
        {
            "bucket": planned["bucket"].cast(pa.string()),
            "date": planned["date"],
            "block_id": planned["block_id"].cast(pa.string()),
            "done": pc.is_in(planned["trial_id"].cast(pa.string()), value_set=done),
            "begun": pc.is_in(planned["trial_id"].cast(pa.string()), value_set=_ids(table)),
        }
    )
    blocks = trials.group_by(["bucket", "date", "block_id"], use_threads=False).aggregate(
        [("done", "all"), ("begun", "any")]
    )
    grouped = blocks.group_by(["bucket", "date"], use_threads=False).aggregate(
        [("done_all", "count"), ("done_all", "sum"), ("begun_any", "sum")]
    )
    return tuple(
        OccasionCount(
            r["bucket"], r["date"], r["done_all_count"], r["done_all_count"] - r["done_all_sum"], r["begun_any_sum"]
        )
        for r in grouped.to_pylist()
    )


def _ids(table: pa.Table) -> pa.Array:
    return pc.unique(table["trial_id"].cast(pa.string()))


def missed(found: Sequence[OccasionCount], over: Callable[[OccasionCount], bool]) -> tuple[OccasionCount, ...]:
    """Cells that are over and miss blocks."""
    return tuple(c for c in found if c.missing and over(c))


def cost(found: Sequence[OccasionCount], tasks: int, lost: int, level: float) -> Cost:
    """What the design can detect as planned, and without `lost` blocks. level: confidence, a fraction."""
    blocks = sum(c.blocks for c in found)

    def smallest(count: int) -> float | None:
        shown = reach(stated_noise(0.5), tasks, max(1, round(count / tasks)), fixed=False, level=level, power=POWER)
        return None if shown is None or count <= 0 else 100 * shown.effect

    return Cost(smallest(blocks), smallest(blocks - lost))


def words(price: Cost) -> str:
    """The cost for a person; empty where there is none to tell."""
    if price.planned is None or price.now is None:
        return ""
    return (
        f"without them the smallest contrast that can be detected is {price.now:.2f} instead of {price.planned:.2f} "
        "points (80 % power, mean success 50 %)"
    )


def checks(table: pa.Table, planned: pa.Table, level: float) -> Iterator[Check]:
    """Windows that the sweep has left behind with blocks missing; nothing where all of them are whole."""
    if "date" not in planned.column_names or not len(table):
        return
    found = cells(table, planned)
    begun = [index for index, cell in enumerate(found) if cell.begun]
    behind = found[: begun[-1]] if begun else ()
    lacking = missed(behind, lambda _: True)
    if len(found) < 2 or not lacking:
        return
    lost = sum(c.missing for c in lacking)
    tasks = pc.count_distinct(planned["task"]).as_py()
    each = ", ".join(f"{c.bucket} of date {c.date} {c.missing} of {c.blocks}" for c in lacking[:SHOWN])
    more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    price = words(cost(found, tasks, lost, level))
    message = f"windows and dates are out of balance: {lost} planned blocks have no complete run ({each}{more})"
    remedy = "resume with the same `raysweep run` command: missed blocks run in later windows of their bucket"
    yield Check("balance", CheckStatus.WARNING, f"{message}; {price}" if price else message, remedy)
