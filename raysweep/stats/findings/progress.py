"""How far the dates of a plan are: which of them are complete, so that a registered look may be taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Ints


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the dates of a plan are. blocks, date: (n,) names of planned blocks and index of their planned date.

    closed: leading dates that are complete. A date is when every block of it has a complete run; blocks that were tried
    and failed for the platform's reasons keep it open only until a later date has begun, else one node lost for good
    would end all looking. beyond: something was run on a date behind those. finished: every planned block is done.
    """

    blocks: pa.Array
    date: Ints
    dates: int
    closed: int
    beyond: bool
    finished: bool

    def until(self, table: pa.Table, dates: int) -> pa.Table:
        """The rows of `table` that belong to the first `dates` dates."""
        return table.filter(pc.is_in(table["block_id"], value_set=self.blocks.filter(pa.array(self.date < dates))))


def progress(table: pa.Table, planned: pa.Table) -> Progress:
    """Dates of `planned` (one row per trial, `date` or `occasion`) that are complete in `table` (attempts, is_final).

    A plan without either column counts as one date.
    """
    encoded = planned["block_id"].combine_chunks().dictionary_encode()
    names, block = encoded.dictionary, np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
    size = np.bincount(block, minlength=len(names))
    date = np.zeros(len(names), dtype=np.int64)
    key = next((k for k in ("date", "occasion") if k in planned.column_names), None)
    if key is not None:
        date[block] = np.unique(planned[key].to_numpy(), return_inverse=True)[1]
    final = table.filter(pc.and_(table["is_final"], _ended(table)))
    done, tried = _in_blocks(final, names) >= size, _in_blocks(table, names) > 0
    dates = int(date.max(initial=-1)) + 1
    begun = [bool(tried[date > d].any()) for d in range(dates)]
    full = [bool(done[date == d].all()) for d in range(dates)]
    shut = [full[d] or (begun[d] and bool((tried | done)[date == d].all())) for d in range(dates)]
    closed = next((d for d in range(dates) if not shut[d]), dates)
    return Progress(names, date, dates, closed, bool(tried[date >= closed].any()), bool(done.all()))


def _ended(table: pa.Table) -> pa.ChunkedArray:
    lost = pc.or_(pc.equal(table["cause_class"], "platform"), pc.equal(table["outcome"], "cancelled"))
    return pc.and_(pc.is_valid(table["outcome"]), pc.invert(pc.fill_null(lost, fill_value=False)))


def _in_blocks(table: pa.Table, names: pa.Array) -> Ints:
    where = pc.drop_null(pc.index_in(table["block_id"], value_set=names))
    return np.bincount(np.asarray(where.to_numpy(), dtype=np.int64), minlength=len(names))
