"""The plan as rows and as the Arrow table of plan.parquet, and the images of one that was written.

Columns are those of the ledger with the same names and types, plus `date` (1..D, number of the planned date), `order`
(place of the block within its occasion), `agent_timeout_s` (what the task declares), `image` and `image_digest` (what
its sandboxes start from); plans of older versions lack the last three. pyarrow is imported only where a table is made
or read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from raysweep.config.bands import RESOURCES, Multipliers
from raysweep.config.model import Sweep
from raysweep.plan.model import Plan
from raysweep.record.schema import BY_NAME
from raysweep.tasks.model import Task
from raysweep.units import Resources

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = ("request", "limit")
OWN = {
    "date": ("int64", "number of the planned date or cycle, 1..D"),
    "order": ("int64", "place of the block within its occasion, 0.."),
    "agent_timeout_s": ("float64", "the agent's time limit as the task declares it, seconds"),
    "image": ("string", "the image of the task's sandboxes as it was named; null where there is none"),
    "image_digest": ("string", "what that name meant when the run was made; null where it could not be resolved"),
}
"""Arrow type and meaning of the columns that the ledger does not have, or has with each attempt's own value."""
COLUMNS: tuple[str, ...] = (
    "plan_id", "block_id", "trial_id", "task", "task_digest", "model", "agent", "band", "factors", "repeat", "bucket",
    "date", "order", "position", "seed",
    *(f"{side}_{resource}_{what}" for side in SIDES for resource in RESOURCES for what in ("mult", "asked")),
    "agent_timeout_s", "image", "image_digest",
)  # fmt: skip

TaskImage: TypeAlias = tuple[str | None, str | None]
"""Name and digest of the image of a task's sandboxes; None: it has none, or it could not be resolved."""

IMAGE_COLUMNS = ("task", "image", "image_digest")
"""What `images_from_table` needs."""

BATCH = 20_000
"""Rows that are Python objects at a time: a million of them at once would take more memory than the plan."""


def plan_rows(
    plan: Plan, sweep: Sweep, tasks: Sequence[Task], images: Mapping[str, TaskImage] | None = None
) -> Iterator[dict[str, Any]]:
    """One row per planned trial, in the order of the plan; a bound of None is null. images: by name of the task."""
    by_name = {task.name: task for task in tasks}
    agents = {model.name: model.agent for model in sweep.models}
    multipliers = {b.name: {**_mult("request", b.request), **_mult("limit", b.limit)} for b in sweep.bands}
    for block in plan.blocks:
        image, digest = (images or {}).get(block.task, (None, None))
        shared = {
            "plan_id": plan.plan_id, "block_id": block.block_id, "task": block.task,
            "task_digest": by_name[block.task].digest, "repeat": block.repeat, "bucket": block.bucket,
            "date": block.date, "order": block.order, "agent_timeout_s": by_name[block.task].agent_timeout_s,
            "image": image, "image_digest": digest,
        }  # fmt: skip
        for trial in block.trials:
            yield {
                **shared, "trial_id": trial.trial_id, "model": trial.arm.model, "agent": agents[trial.arm.model],
                "band": trial.arm.band, "factors": list(trial.arm.factors), "position": trial.position,
                "seed": trial.seed, **multipliers[trial.arm.band], **_asked("request", trial.request),
                **_asked("limit", trial.limit),
            }  # fmt: skip


def _mult(side: str, multipliers: Multipliers) -> dict[str, float | None]:
    return {f"{side}_{r}_mult": getattr(multipliers, r) for r in RESOURCES}


def _asked(side: str, bound: Resources) -> dict[str, int | None]:
    return {f"{side}_{r}_asked": getattr(bound, r) for r in RESOURCES}


def plan_schema() -> pa.Schema:
    """Arrow schema of plan.parquet."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow

    from raysweep.record.schema import arrow_schema  # noqa: PLC0415 - as above

    ledger = arrow_schema()
    fields = [
        ledger.field(name)
        if name in BY_NAME
        else pa.field(name, pa.type_for_alias(OWN[name][0]), metadata={"doc": OWN[name][1]})
        for name in COLUMNS
    ]
    return pa.schema(fields)


def plan_batches(
    plan: Plan, sweep: Sweep, tasks: Sequence[Task], images: Mapping[str, TaskImage] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of plan.parquet, BATCH at a time. images: by name of the task."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    schema, rows = plan_schema(), plan_rows(plan, sweep, tasks, images)
    while batch := list(islice(rows, BATCH)):
        arrays = [pa.array([row[field.name] for row in batch], field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def plan_table(
    plan: Plan, sweep: Sweep, tasks: Sequence[Task], images: Mapping[str, TaskImage] | None = None
) -> pa.Table:
    """plan.parquet as an Arrow table: one row per planned trial. images: by name of the task."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    return pa.Table.from_batches(plan_batches(plan, sweep, tasks, images), schema=plan_schema())


def plan_bytes(plan: Plan, sweep: Sweep, tasks: Sequence[Task], images: Mapping[str, TaskImage] | None = None) -> bytes:
    """plan.parquet itself; of a large plan only one batch is in memory beside it. images: by name of the task."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, plan_schema(), compression="zstd") as writer:
        for batch in plan_batches(plan, sweep, tasks, images):
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def images_from_table(table: pa.Table) -> dict[str, TaskImage]:
    """The images that `plan_table` was given; empty for a plan of an older version."""
    if not set(IMAGE_COLUMNS) <= set(table.column_names):
        return {}
    rows = table.group_by(list(IMAGE_COLUMNS)).aggregate([]).to_pylist()
    return {row["task"]: (row["image"], row["image_digest"]) for row in rows}
