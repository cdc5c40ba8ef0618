"""Reading a run directory: all attempts with the derived column `is_final`, and the plan they belong to.

Both wings read through here: analysis for its numbers, execution to go on where it was.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raysweep.errors import bad_input
from raysweep.record.ledger import read_segment, segments
from raysweep.record.schema import SCHEMA_VERSION, arrow_schema
from raysweep.record.store import LocalStore, Store

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A run directory as it is now.

    table: every attempt (columns of record.schema, and is_final). planned: plan.parquet, one row per trial.
    facts: run.json (run_id, anchor, created, ...). registration: registration.json. environment: environment.json.
    """

    table: pa.Table
    planned: pa.Table
    facts: dict[str, Any]
    registration: dict[str, Any]
    environment: dict[str, Any]
    sweep_text: str


def open_run(path: Path) -> Store:
    """The store of an existing run directory; InputError when there is none at `path`."""
    store = LocalStore(path)
    if not store.exists("run.json"):
        raise bad_input(
            "not a run directory (no run.json)",
            "give the directory that `raysweep run --run-dir` made",
            file=str(path),
        )
    return store


def read_ledger(path: Path) -> LedgerView:
    """The run directory at `path`; InputError names what is missing or broken in it."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - the command line starts without pyarrow

    store = open_run(path)
    facts = json.loads(store.get("run.json"))
    if facts["schema_version"] != SCHEMA_VERSION:
        raise bad_input(
            f"the ledger has schema version {facts['schema_version']}, this raysweep reads {SCHEMA_VERSION}",
            "use the raysweep version named in run.json",
            file=str(path / "run.json"),
        )
    planned = pq.ParquetFile(io.BytesIO(store.get("plan.parquet"))).read()
    table = with_is_final(read_attempts(store), planned)
    return LedgerView(
        table=table,
        planned=planned,
        facts=facts,
        registration=json.loads(store.get("registration.json")),
        environment=json.loads(store.get("environment.json")),
        sweep_text=store.get("sweep.yaml").decode(),
    )


def read_attempts(store: Store) -> pa.Table:
    """All attempts of all segments that count, in order of sealing; an empty table of the schema when there are none.

    InputError when one attempt stands twice: that cannot come from raysweep's own writer.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    names = segments(store)
    table = pa.concat_tables([arrow_schema().empty_table(), *(read_segment(store, n) for n in names)])
    if len(table) != len(table["attempt_id"].unique()):
        raise bad_input("an attempt stands twice in the ledger", "restore the run directory from a copy", file="ledger")
    return table


def _codes(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def with_is_final(table: pa.Table, planned: pa.Table) -> pa.Table:
    """The table with the column is_final (bool).

    Final is the last attempt of each trial in the last complete run of its block, else in the trial's last run. A run
    is complete when every planned trial of the block ended in it with something else than a platform cause or a
    cancellation.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    n = len(table)
    final = np.zeros(n, dtype=bool)
    if n:
        trial, block = _codes(table["trial_id"]), _codes(table["block_id"])
        run = table["block_run"].to_numpy()
        attempt = table["attempt"].to_numpy()
        unfinished = pc.or_(
            pc.fill_null(pc.equal(table["cause_class"], "platform"), fill_value=False),
            pc.equal(table["outcome"], "cancelled"),
        ).to_numpy()
        order = np.lexsort((attempt, run, trial))
        last = np.append(np.diff(trial[order]).astype(bool) | np.diff(run[order]).astype(bool), True)
        ends = order[last]  # row of the last attempt of each (trial, run)
        sizes = _block_sizes(table["block_id"], planned)
        complete_run = _last_complete_run(block[ends], run[ends], ~unfinished[ends], sizes)
        chosen = complete_run[block[ends]]
        last_run = np.zeros(trial.max() + 1, dtype=np.int64)
        np.maximum.at(last_run, trial, run)
        final[ends[run[ends] == np.where(chosen > 0, chosen, last_run[trial[ends]])]] = True
    return table.append_column("is_final", pa.array(final))


def _block_sizes(blocks: pa.ChunkedArray, planned: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Planned trials per block, in the order of the codes of `blocks`."""
    counts = planned.group_by("block_id").aggregate([("trial_id", "count")])
    size_of = dict(zip(counts["block_id"].to_pylist(), counts["trial_id_count"].to_pylist(), strict=True))
    names = blocks.combine_chunks().dictionary_encode().dictionary.to_pylist()
    return np.array([size_of.get(name, 0) for name in names], dtype=np.int64)


def _last_complete_run(
    block: np.ndarray[Any, Any], run: np.ndarray[Any, Any], ended: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Per block code the number of its last complete run, 0 when it has none."""
    result = np.zeros(len(sizes), dtype=np.int64)
    keys, where = np.unique(np.stack([block, run]), axis=1, return_inverse=True)
    done = np.bincount(where.ravel(), weights=ended, minlength=keys.shape[1])
    complete = done == sizes[keys[0]]
    np.maximum.at(result, keys[0][complete], keys[1][complete])
    return result
