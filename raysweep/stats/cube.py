"""From the ledger's rows to arrays: one row of the cube per block, one column per arm; means by task.

Belongs here: encoding, pairing by complete blocks, counting what is missing. Does not: any interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.design import Design
from raysweep.stats.estimand import is_platform, is_resource, y_of


@dataclass(frozen=True, slots=True)
class ArmKey:
    """Column of the cube; `model` carries the levels of other swept factors in brackets."""

    model: str
    band: str


@dataclass(frozen=True, slots=True)
class Cube:
    """Final trials of all started blocks; n = blocks, A = arms.

    y: (n, A) rewards, nan = missing. q: (n, A) ended in a resource cause, nan where y is. present: (n, A) a final row
    exists. first_platform: (n, A) the first attempt ended in a platform cause. task, bucket, date: (n,) codes into
    `tasks`, `buckets`, `dates`. nan stays inside stats: no Finding can hold one. blocks: names, (n,).
    not_started: planned blocks without any attempt. planned_arms: arms of the plan, even without a row.
    """

    arms: tuple[ArmKey, ...]
    tasks: tuple[str, ...]
    buckets: tuple[str, ...]
    dates: tuple[str, ...]
    y: Floats
    q: Floats
    present: Bools
    first_platform: Bools
    task: Ints
    bucket: Ints
    date: Ints
    blocks: tuple[str, ...]
    not_started: int

    def column(self, model: str, band: str) -> int:
        """Index of an arm's column; KeyError when the cube has no such arm."""
        try:
            return self.arms.index(ArmKey(model, band))
        except ValueError:
            raise KeyError(f"no arm {model}/{band} in this ledger") from None

    @property
    def models(self) -> tuple[str, ...]:
        """Models (with factor levels) in column order."""
        return tuple(dict.fromkeys(a.model for a in self.arms))

    def bands(self, model: str) -> tuple[str, ...]:
        """Bands of a model in column order."""
        return tuple(a.band for a in self.arms if a.model == model)

    def in_bucket(self, bucket: str | None) -> Bools:
        """Mask of the blocks of one bucket; of all blocks for None."""
        if bucket is None:
            return np.ones(len(self.task), dtype=bool)
        return np.asarray(self.bucket == self.buckets.index(bucket), dtype=np.bool_)

    def task_means(self, values: Floats, rows: Bools) -> tuple[Floats, Ints]:
        """Mean of `values` (n,) per task over `rows` where finite, nan without any; and the counts, both (T,)."""
        use = rows & np.isfinite(values)
        counts = np.bincount(self.task[use], minlength=len(self.tasks))
        sums = np.bincount(self.task[use], weights=values[use], minlength=len(self.tasks))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), counts

    def n_dates(self, rows: Bools) -> int:
        """Number of distinct dates among `rows`."""
        return len(np.unique(self.date[rows]))


def build_cube(table: pa.Table, planned: pa.Table, design: Design) -> Cube:
    """The cube of a ledger: `table` holds all attempts with is_final, `planned` one row per planned trial.

    Both as `with_labels` gives them. Planned arms without a row get an empty column, so that a missing arm is seen.
    Linear in rows.
    """
    arms = _arms(table, planned, design)
    final = table.filter(table["is_final"])
    tasks = sorted(set(_uniques(table, "task")) | set(_uniques(planned, "task")))
    buckets = _ordered(design.buckets, _uniques(table, "bucket"))
    dates = sorted(_uniques(table, "occasion"))
    names = _uniques(table, "block_id")
    row, block_first = _codes(table["block_id"], names), np.zeros(len(names), dtype=np.int64)
    block_first[row[::-1]] = np.arange(len(table))[::-1]
    shape = (len(names), len(arms))
    where = (_codes(final["block_id"], names), _arm_codes(final, arms))
    y = np.full(shape, np.nan)
    y[where] = _numbers(y_of(final))
    q = np.full(shape, np.nan)
    q[where] = np.where(np.isfinite(y[where]), _numbers(pc.cast(is_resource(final), pa.float64())), np.nan)
    present = np.zeros(shape, dtype=bool)
    present[where] = True
    firsts = table.filter(pc.and_(pc.equal(table["attempt"], 1), is_platform(table)))
    first_platform = np.zeros(shape, dtype=bool)
    first_platform[_codes(firsts["block_id"], names), _arm_codes(firsts, arms)] = True
    return Cube(
        arms=arms,
        tasks=tuple(tasks),
        buckets=buckets,
        dates=tuple(dates),
        y=y,
        q=q,
        present=present,
        first_platform=first_platform,
        task=_codes(table["task"], tasks)[block_first],
        bucket=_codes(table["bucket"], buckets)[block_first],
        date=_codes(table["occasion"], dates)[block_first],
        blocks=tuple(names),
        not_started=len(set(_uniques(planned, "block_id")) - set(names)),
    )


def _uniques(table: pa.Table, name: str) -> list[str]:
    if name not in table.column_names:
        return []
    return ["" if v is None else str(v) for v in table[name].unique().to_pylist()]


def _ordered(stated: Sequence[str], seen: Sequence[str]) -> tuple[str, ...]:
    return (*(s for s in stated if s in seen), *sorted(set(seen) - set(stated)))


def _codes(column: pa.ChunkedArray, names: Sequence[str]) -> Ints:
    filled = pc.fill_null(pc.cast(column, pa.string()), fill_value="")
    found = pc.index_in(filled, value_set=pa.array(names, pa.string()))
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def with_labels(table: pa.Table) -> pa.Table:
    """The table with the column `_model`: the model and the levels of other swept factors."""
    return table.append_column("_model", _model_labels(table))


def _model_labels(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Model names, with the levels of other swept factors behind them where a sweep has such."""
    model = pc.fill_null(table["model"], fill_value="") if "model" in table.column_names else pa.nulls(0, pa.string())
    if "factors" not in table.column_names or not pa.types.is_map(table.schema.field("factors").type):
        return model
    if not sum(len(chunk.keys) for chunk in table["factors"].chunks):
        return model
    levels: list[Any] = [", ".join(f"{k}={v}" for k, v in (f or [])) for f in table["factors"].to_pylist()]
    return pa.array(
        [f"{m} [{f}]" if f else m for m, f in zip(model.to_pylist(), levels, strict=True)], pa.string()
    )  # fmt: skip


def _arms(table: pa.Table, planned: pa.Table, design: Design) -> tuple[ArmKey, ...]:
    models = _ordered(design.models, list(dict.fromkeys(_uniques(table, "_model") + _uniques(planned, "_model"))))
    seen = list(dict.fromkeys([*design.bands, *_uniques(table, "band"), *_uniques(planned, "band")]))
    return tuple(ArmKey(m, b) for m in models for b in _ordered(design.bands, seen))


def _arm_codes(table: pa.Table, arms: tuple[ArmKey, ...]) -> Ints:
    models = list(dict.fromkeys(a.model for a in arms))
    bands = list(dict.fromkeys(a.band for a in arms))
    return _codes(table["_model"], models) * len(bands) + _codes(table["band"], bands)
