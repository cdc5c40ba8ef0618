"""Reading a run directory: all attempts with the derived column `is_final`, and the plan they belong to.

Both wings read through here: analysis for its numbers, execution to go on where it was. Everything comes through a
Store, so that a run directory can be anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from raysweep.errors import InputError, bad_input
from raysweep.record.place import RunPath, store_at
from raysweep.record.probes import read_probes
from raysweep.record.run_facts import RunFacts, read_facts
from raysweep.record.schema import arrow_schema
from raysweep.record.segments import read_segment, segments
from raysweep.record.store import LocalStore, Store
from raysweep.record.versions import joined, unknown_columns

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, np.dtype[Any]]

READERS, READERS_HERE = 8, 2
"""Segments read at one time, from a bucket (which is mostly waiting) and from a disk (more only take memory)."""
LISTINGS = 5
"""How often the ledger is listed again because segments were merged away while they were read."""
CHUNK_ROWS = 1 << 16
"""Rows of the table's chunks: every kernel pays for each chunk, and a segment has about a hundred rows."""

PROGRESS = ("attempt_id", "trial_id", "block_id", "block_run", "attempt", "outcome", "cause", "cause_class")
"""What is_final and the counts of `status` need of the attempts."""


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A run directory as it is now.

    table: every attempt (columns of record.schema, then those of `unknown`, and is_final). planned: plan.parquet, one
    row per trial.
    facts: run.json. registration: registration.json. environment: environment.json.
    probes: enforcement probes (columns of record.probes). unknown: columns of the ledger that this version does not
    know; another one wrote them.
    """

    table: pa.Table
    planned: pa.Table
    facts: RunFacts
    registration: dict[str, Any]
    environment: dict[str, Any]
    sweep_text: str
    probes: pa.Table
    unknown: tuple[str, ...] = ()


def open_run(path: RunPath) -> Store:
    """The store of an existing run directory; InputError when there is none at `path`."""
    store = store_at(path)
    if not store.exists("run.json"):
        raise bad_input(
            "not a run directory (no run.json)",
            "give the directory that `raysweep run --run-dir` made",
            file=str(path),
        )
    return store


def read_ledger(path: RunPath) -> LedgerView:
    """The run directory at `path`; InputError names what is missing or broken in it."""
    return read_run(open_run(path), str(path))


def read_run(store: Store, where: str, *, attempts: bool = True) -> LedgerView:
    """The run directory in `store`; InputError names what is missing or broken in it (`where`: what to call it).

    attempts: False leaves the ledger unread and the table without a row.
    """
    facts = read_facts(store, where)
    planned = read_plan(store, where)
    table = read_attempts(store) if attempts else arrow_schema().empty_table()
    return LedgerView(
        table=with_is_final(table, planned),
        planned=planned,
        facts=facts,
        registration=_json(store, where, "registration.json"),
        environment=_json(store, where, "environment.json"),
        sweep_text=_blob(store, where, "sweep.yaml").decode(errors="replace"),
        probes=read_probes(store),
        unknown=unknown_columns(table, arrow_schema()),
    )


def read_progress(path: RunPath) -> tuple[pa.Table, int]:
    """How far the run directory at `path` is: the columns PROGRESS of its attempts with is_final, and planned trials.

    For a long ledger a small part of what `read_ledger` reads. InputError as there.
    """
    store = open_run(path)
    read_facts(store, str(path))
    planned = read_plan(store, str(path), ["block_id"])
    return with_is_final(read_attempts(store, PROGRESS), planned), len(planned)


def _blob(store: Store, where: str, name: str) -> bytes:
    try:
        return store.get(name)
    except FileNotFoundError:
        raise _broken(where, name, "is missing") from None


def _json(store: Store, where: str, name: str) -> dict[str, Any]:
    try:
        told = json.loads(_blob(store, where, name))
    except ValueError as error:
        raise _broken(where, name, f"cannot be read ({error})") from error
    if not isinstance(told, dict):
        raise _broken(where, name, "cannot be read (not an object)")
    return told


def read_plan(store: Store, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """plan.parquet, one row per planned trial; InputError when it is missing or broken (`where`: as `read_run`).

    columns: only these, as far as it has them.
    """
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    data = _blob(store, where, "plan.parquet")
    try:
        return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)  # as in segments.py
    except (pa.ArrowException, OSError) as error:
        raise _broken(where, "plan.parquet", f"cannot be read ({error})") from error


def _broken(where: str, name: str, what: str) -> InputError:
    return bad_input(f"this part of the run directory {what}", "restore it from a copy", file=f"{where}/{name}")


def read_attempts(store: Store, columns: Sequence[str] | None = None) -> pa.Table:
    """All attempts of all segments that count, in order of sealing; an empty table of the schema when there are none.

    columns: only these of the schema, in its order, attempt_id among them; None: all, and those that are unknown here.
    InputError names a segment that cannot be read, and an attempt that stands twice: raysweep's own writer does not do
    that.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    wanted = arrow_schema()
    if columns is not None:
        wanted = pa.schema([field for field in wanted if field.name in columns])
    table = _all_segments(store, wanted, columns)
    if len(table) != len(table["attempt_id"].unique()):
        raise bad_input("an attempt stands twice in the ledger", "restore the run directory from a copy", file="ledger")
    return table


def _all_segments(store: Store, wanted: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
    for _ in range(LISTINGS):
        with ThreadPoolExecutor(READERS_HERE if isinstance(store, LocalStore) else READERS) as pool:
            try:
                parts = pool.map(partial(read_segment, store, columns=columns), segments(store))
                return joined([wanted.empty_table(), *_gathered(parts)])
            except FileNotFoundError as error:  # merged since it was listed
                pool.shutdown(cancel_futures=True)
                lost = str(error)
    raise bad_input("a segment of the ledger is listed and not there", "look at the store", file=lost)


def _gathered(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in few chunks; no more than one chunk's rows are held twice."""
    waiting: list[pa.Table] = []
    rows = 0
    for part in parts:
        waiting.append(part)
        rows += len(part)
        if rows >= CHUNK_ROWS:
            yield joined(waiting).combine_chunks()
            waiting, rows = [], 0
    if waiting:
        yield joined(waiting).combine_chunks()


def with_is_final(table: pa.Table, planned: pa.Table) -> pa.Table:
    """The table with the column is_final (bool).

    Final is the last attempt of each trial in the last complete run of its block, else in the block's last run: the
    final attempts of a block are always of one run, and all others of it are superseded. A run is complete when every
    planned trial of the block ended in it with something else than a platform cause or a cancellation.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    final = np.ones(len(table), dtype=bool)
    rows = np.flatnonzero(_tried_again(table))
    if len(rows):
        columns = ["trial_id", "block_id", "block_run", "attempt", "cause_class", "outcome"]
        final[rows] = _final(table.select(columns).take(pa.array(rows)), planned)
    return table.append_column("is_final", pa.array(final))


def _tried_again(table: pa.Table) -> Array:
    """All rows of trials with a second attempt and of blocks with a second run: the others are final as they are."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    second = _numbers(table["block_run"]) > 1
    more = (_numbers(table["attempt"]) > 1) | second
    found = np.zeros(len(table), dtype=bool)
    for name, mask in (("trial_id", more), ("block_id", second)):
        if mask.any():
            found |= pc.is_in(table[name], value_set=table[name].filter(pa.array(mask)).unique()).to_numpy()
    return found


def _final(rows: pa.Table, planned: pa.Table) -> Array:
    """is_final of `rows`, which hold every attempt of their trials and, of blocks that ran twice, every trial."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    trial, _ = _coded(rows["trial_id"])
    block, names = _coded(rows["block_id"])
    run, attempt = _numbers(rows["block_run"]), _numbers(rows["attempt"])
    platform = pc.fill_null(pc.equal(rows["cause_class"], "platform"), fill_value=False)
    cancelled = pc.fill_null(pc.equal(rows["outcome"], "cancelled"), fill_value=False)
    ended = ~pc.or_(platform, cancelled).to_numpy()
    order = np.lexsort((attempt, run, trial))
    last = np.append(np.diff(trial[order]).astype(bool) | np.diff(run[order]).astype(bool), True)
    ends = order[last]  # row of the last attempt of each (trial, run)
    complete = _last_complete_run(block[ends], run[ends], ended[ends], _block_sizes(names, planned))[block[ends]]
    last_run = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(last_run, block, run)
    final = np.zeros(len(rows), dtype=bool)
    final[ends[run[ends] == np.where(complete > 0, complete, last_run[block[ends]])]] = True
    return final


def _coded(column: pa.ChunkedArray) -> tuple[Array, pa.Array]:
    """Codes of a text column and the names behind them."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64), encoded.dictionary


def _numbers(column: pa.ChunkedArray) -> Array:
    """A column that counts from 1; unknown counts as 1."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    return np.asarray((pc.fill_null(column, 1) if column.null_count else column).to_numpy())


def _block_sizes(names: pa.Array, planned: pa.Table) -> Array:
    """Planned trials of each block of `names`; 0 where the plan does not know it."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    at = pc.drop_null(pc.index_in(planned["block_id"], value_set=names)).to_numpy()
    return np.bincount(at, minlength=len(names))


def _last_complete_run(block: Array, run: Array, ended: Array, sizes: Array) -> Array:
    """Per block code the number of its last complete run, 0 when it has none."""
    result = np.zeros(len(sizes), dtype=np.int64)
    runs = int(run.max()) + 1
    keys, where = np.unique(block * runs + run, return_inverse=True)
    complete = keys[np.bincount(where, weights=ended) == sizes[keys // runs]]
    np.maximum.at(result, complete // runs, complete % runs)
    return result
