"""plan.parquet read back into a plan: what the tests hold it to. The product needs its columns only."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pyarrow as pa

from raysweep.config.bands import RESOURCES
from raysweep.plan.model import Arm, Block, Plan, PlannedTrial
from raysweep.plan.table import COLUMNS, SIDES
from raysweep.units import Resources

TRIAL_COLUMNS = tuple(name for name in COLUMNS if name not in {"agent_timeout_s", "image", "image_digest"})


def plan_from_table(table: pa.Table) -> Plan:
    """The plan that `plan_table` wrote; an empty table is an empty plan. KeyError names a missing column."""
    blocks, plan_id = [], ""
    rows = table.select(list(TRIAL_COLUMNS)).to_pylist()
    for block_id, group in groupby(rows, key=lambda row: row["block_id"]):
        members = list(group)
        first = members[0]
        plan_id = first["plan_id"]
        place = (first["task"], first["repeat"], first["bucket"], first["date"], first["order"])
        blocks.append(Block(block_id, *place, tuple(_trial(row) for row in members)))
    return Plan(plan_id, tuple(blocks))


def _trial(row: dict[str, Any]) -> PlannedTrial:
    arm = Arm(row["model"], row["band"], tuple((k, v) for k, v in row["factors"] or ()))
    request, limit = (Resources(*(row[f"{side}_{r}_asked"] for r in RESOURCES)) for side in SIDES)
    return PlannedTrial(row["trial_id"], row["block_id"], arm, row["position"], row["seed"], request, limit)
