"""From the ledger's rows to arrays: one row of the cube per block, one column per arm; means by task.

Belongs here: encoding, placing blocks in the bucket where they really ran, pairing by complete blocks, counting what
is missing. Does not: any interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.columns import Codes, Names, coded, distinct, filled, flags, joined, numbers, run_starts, whole
from raysweep.stats.design import Design
from raysweep.stats.endings import Endings, endings
from raysweep.stats.place import elsewhere, places

RUN = "_run"
"""Column of merged ledgers: the name of the run that an attempt belongs to."""


MOVED = " ["
"""Between the name of a model and the levels of other swept factors; no name holds it."""


@dataclass(frozen=True, slots=True)
class ArmKey:
    """Column of the cube; `model` carries the levels of other swept factors in brackets."""

    model: str
    band: str


def _nowhere() -> Bools:
    return np.zeros(0, dtype=bool)


def _no_run() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Cube:
    """Final trials of all started blocks; n = blocks, A = arms.

    y: (n, A) rewards, nan = missing. q: (n, A) ended in a resource cause, nan where y is. present: (n, A) a final row
    exists. first_platform: (n, A) the first attempt ended in a platform cause. task, bucket, date: (n,) codes into
    `tasks`, `buckets`, `dates`; bucket and date are those in which the block ran. nan stays inside stats: no Finding
    can hold one. blocks: names, (n,). not_started: planned blocks without any attempt. moved: (n,) the block ran
    wholly in another occasion than planned. crossed: (n,) its trials started in different occasions or outside every
    window, so that it stays where it was planned. Both are False throughout where they are not given.
    runs: names of the runs that were merged, () for one run; run: (n,) codes into them. A date belongs to one run.
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
    blocks: Sequence[str]
    not_started: int
    moved: Bools = field(default_factory=_nowhere)
    crossed: Bools = field(default_factory=_nowhere)
    runs: tuple[str, ...] = ()
    run: Ints = field(default_factory=_no_run)

    def __post_init__(self) -> None:
        for name, kind in (("moved", np.bool_), ("crossed", np.bool_), ("run", np.int64)):
            if len(getattr(self, name)) != len(self.task):
                object.__setattr__(self, name, np.zeros(len(self.task), dtype=kind))

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
        use, size = rows & np.isfinite(values), len(self.tasks)
        if 2 * np.count_nonzero(use) > len(use):  # adding zeros is cheaper than leaving few out, and the same bits
            counts = np.bincount(self.task, weights=use, minlength=size).astype(np.int64)
            sums = np.bincount(self.task, weights=np.where(use, values, 0.0), minlength=size)
        else:
            at = np.flatnonzero(use)
            counts = np.bincount(self.task[at], minlength=size)
            sums = np.bincount(self.task[at], weights=values[at], minlength=size)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), counts

    @property
    def run_of_date(self) -> Ints:
        """Code of the run of each date, (D,)."""
        found = np.zeros(len(self.dates), dtype=np.int64)
        found[self.date] = self.run
        return found

    def of_run(self, run: int) -> Bools:
        """Mask of the blocks of one run."""
        return np.asarray(self.run == run, dtype=np.bool_)

    def n_dates(self, rows: Bools) -> int:
        """Number of distinct dates among `rows`."""
        return int(np.count_nonzero(np.bincount(self.date[rows], minlength=1)))


def build_cube(table: pa.Table, planned: pa.Table, design: Design) -> Cube:
    """The cube of a ledger: `table` holds all attempts with is_final, `planned` one row per planned trial.

    Both as `with_labels` gives them; the ledger's trials are trials of that plan (which may have no rows, unknown).
    Planned arms without a row get an empty column, so that a missing arm is seen.
    A block counts in the occasion in which all its final trials started; where they started in different ones, or
    outside every window, in the planned one. Time and memory are linear in attempts and in cells (blocks x arms), and
    no column is read that is not needed. Hashing block ids takes as long as all other text: it has its own thread.
    """
    final = flags(table["is_final"])
    if int(final.sum()) == len(planned):  # every planned trial ended: the ledger names all that the plan does
        planned = planned.slice(0, 0)
    with ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(_blocks, table["block_id"], planned)
        (arms, column), end, doubtful = _arms(table, planned, design), endings(table), elsewhere(table)
        block, names, not_started = hashing.result()
    cell = block.astype(np.int64)  # in place from here: at this size a new array costs as much as the sum
    cell *= len(arms)
    cell += column
    y, q, present, first_platform = _values(table, end, final, cell, (len(names), len(arms)))
    first = np.zeros(len(names), dtype=np.int64)
    first[block[::-1]] = np.arange(len(block), dtype=np.int32)[::-1]
    place, planned_tasks = places(table, block, first, doubtful), distinct(planned, "task")
    tasks, task = _recoded(table["task"].take(pa.array(first)), lambda seen: sorted({*seen, *planned_tasks}))
    buckets, bucket = _recoded(place.bucket, lambda seen: _ordered(design.buckets, seen))
    dates, date = _recoded(place.date, sorted)
    runs, run = _recoded(table[RUN].take(pa.array(first)), sorted) if RUN in table.column_names else ((), _no_run())
    return Cube(
        arms=arms,
        tasks=tasks,
        buckets=buckets,
        dates=dates,
        y=y,
        q=q,
        present=present,
        first_platform=first_platform,
        task=task,
        bucket=bucket,
        date=date,
        blocks=Names(names),
        not_started=not_started,
        moved=place.moved,
        crossed=place.crossed,
        runs=runs,
        run=run,
    )


def _blocks(column: pa.ChunkedArray, planned: pa.Table) -> tuple[Codes, pa.Array, int]:
    """Code of each row's block, the blocks' names, and how many planned blocks have no row.

    Plan and ledger are hashed together, equal neighbours once.
    """
    plan = filled(whole(planned["block_id"])) if "block_id" in planned.column_names else pa.array([], pa.string())
    text = filled(whole(column))
    starts = run_starts(text)
    ids = _at(plan, run_starts(plan))
    rows = _at(text, starts)
    joint = (pa.concat_arrays([ids, rows]) if len(ids) else rows).dictionary_encode()
    names, codes = joint.dictionary, joint.indices.to_numpy()[len(ids) :]
    started = np.zeros(len(names), dtype=bool)
    started[codes] = True
    absent = int(np.sum(~started))
    if absent:
        codes, names = (np.cumsum(started, dtype=np.int32) - 1)[codes], names.filter(pa.array(started))
    return codes if len(starts) == len(text) else np.repeat(codes, np.diff(starts, append=len(text))), names, absent


def _at(text: pa.Array, rows: Ints) -> pa.Array:
    return text if len(rows) == len(text) else text.take(pa.array(rows))


def _values(
    table: pa.Table, end: Endings, final: Bools, cell: Ints, shape: tuple[int, int]
) -> tuple[Floats, Floats, Bools, Bools]:
    """y, q, present and first_platform of the cube, each of `shape`.

    cell: (rows,) number of each row's cell. It is changed: rows that are not final are sent to a cell behind the last,
    which is cut off; leaving them out would copy all the others.
    """
    spare = shape[0] * shape[1]
    y, q = np.full(spare + 1, np.nan), np.zeros(spare + 1)
    present, first_platform = (np.zeros(spare + 1, dtype=bool) for _ in range(2))
    later = numbers(table["attempt"].take(pa.array(end.platform))) > 1  # an unknown number counts as the first
    first_platform[cell[end.platform[~later]]] = True
    cell[~final] = spare
    y[cell] = end.y
    present[cell] = True
    q[cell[end.resource]] = 1.0
    q[np.isnan(y)] = np.nan
    return y[:-1].reshape(shape), q[:-1].reshape(shape), present[:-1].reshape(shape), first_platform[:-1].reshape(shape)


def _recoded(
    text: pa.ChunkedArray | pa.Array, order: Callable[[list[str]], Sequence[str]]
) -> tuple[tuple[str, ...], Ints]:
    """The names of `text` as `order` puts them (it may add some), and the code of each row."""
    codes, found = coded(text)
    seen = found.to_pylist()
    names = tuple(order(seen))
    at = {name: i for i, name in enumerate(names)}
    return names, np.array([at[name] for name in seen], dtype=np.int64)[codes]


def with_labels(table: pa.Table) -> pa.Table:
    """The table with the column `_model`: the model and, in brackets, the levels of other swept factors."""
    if "model" not in table.column_names:
        return table.append_column("_model", pa.nulls(len(table), pa.string()))
    model = pc.fill_null(table["model"], fill_value="") if table["model"].null_count else table["model"]
    factors = table["factors"] if "factors" in table.column_names else None
    if factors is None or not pa.types.is_map(factors.type) or not any(len(c.keys) for c in factors.chunks):
        return table.append_column("_model", model)
    levels = whole(joined(factors))
    named = pc.binary_join_element_wise(whole(model), MOVED, levels, "]", "")
    return table.append_column("_model", pc.if_else(pc.equal(levels, ""), whole(model), named))


def arm_codes(table: pa.Table, arms: Sequence[ArmKey]) -> Ints:
    """Column of the cube of each row of a labelled table, (n,); -1 where it is none of `arms`."""
    return _columns(coded(table["_model"]), coded(table["band"]), arms).astype(np.int64)


def final_arm_codes(table: pa.Table, arms: Sequence[ArmKey]) -> Ints:
    """As `arm_codes`, -1 also on rows that are not final: no column of the ledger need be copied to leave them out."""
    return np.where(flags(table["is_final"]), arm_codes(table, arms), -1)


def _columns(model: tuple[Codes, pa.Array], band: tuple[Codes, pa.Array], arms: Sequence[ArmKey]) -> Codes:
    column = {arm: i for i, arm in enumerate(arms)}
    grid = [[column.get(ArmKey(m, b), -1) for b in band[1].to_pylist()] for m in model[1].to_pylist()]
    pair = model[0] * np.int32(len(band[1])) + band[0] if len(model[1]) > 1 else band[0]
    return np.asarray(np.array(grid, dtype=np.int32).ravel()[pair])


def _arms(table: pa.Table, planned: pa.Table, design: Design) -> tuple[tuple[ArmKey, ...], Codes]:
    """All models of ledger and plan with all bands, those of the design first; and the column of each row.

    Models with levels of other factors have the bands that ledger or plan have them with: not all are planned.
    """
    model, band = coded(table["_model"]), coded(table["band"])
    across = _ordered(design.models, [*model[1].to_pylist(), *distinct(planned, "_model")])
    down = _ordered(design.bands, [*design.bands, *band[1].to_pylist(), *distinct(planned, "band")])
    some = _pairs(table) | _pairs(planned) if any(MOVED in m for m in across) else set()
    arms = tuple(ArmKey(m, b) for m in across for b in down if MOVED not in m or (m, b) in some)
    return arms, _columns(model, band, arms)


def _pairs(table: pa.Table) -> set[tuple[str, str]]:
    """(model, band) of the rows of a labelled table."""
    if "band" not in table.column_names:
        return set()
    found = table.select(["_model", "band"]).group_by(["_model", "band"]).aggregate([])
    return {(m or "", b or "") for m, b in zip(found["_model"].to_pylist(), found["band"].to_pylist(), strict=True)}


def _ordered(stated: Sequence[str], seen: Sequence[str]) -> tuple[str, ...]:
    return (*(s for s in stated if s in seen), *sorted(set(seen) - set(stated)))
