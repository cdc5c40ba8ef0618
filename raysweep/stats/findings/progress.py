"""How far the dates of a plan are: which of them are complete, so that a registered look may be taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Ints


@dataclass(frozen=True, slots=True)
class CompleteDates:
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

    def within(self, blocks: pa.Array | pa.ChunkedArray, dates: int) -> Bools:
        """Which of these blocks (names, repeats allowed) are planned for the first `dates` dates, (n,)."""
        of = self.blocks.filter(pa.array(self.date < dates))
        return np.asarray(pc.is_in(blocks, value_set=of).to_numpy(zero_copy_only=False), dtype=np.bool_)


def progress(table: pa.Table, planned: pa.Table) -> CompleteDates:
    """Dates of `planned` (one row per trial, `date` or `occasion`) that are complete in `table` (attempts, is_final).

    A plan without either column counts as one date.
    """
    encoded = planned["block_id"].combine_chunks().dictionary_encode()
    names, block = encoded.dictionary, np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
    size = np.bincount(block, minlength=len(names))
    date = np.zeros(len(names), dtype=np.int64)
    key = next((k for k in ("date", "occasion") if k in planned.column_names), None)
    if key is not None:
        labels = planned[key].combine_chunks().dictionary_encode()
        rank = np.argsort(np.argsort(labels.dictionary.to_numpy(zero_copy_only=False)))
        date[block] = rank[labels.indices.to_numpy()]
    where = pc.index_in(table["block_id"], value_set=names)
    tried = _count(where, len(names)) > 0
    done = _count(where.filter(pc.and_(table["is_final"], _ended(table))), len(names)) >= size
    dates = int(date.max(initial=-1)) + 1
    begun = [bool(tried[date > d].any()) for d in range(dates)]
    full = [bool(done[date == d].all()) for d in range(dates)]
    shut = [full[d] or (begun[d] and bool((tried | done)[date == d].all())) for d in range(dates)]
    closed = next((d for d in range(dates) if not shut[d]), dates)
    return CompleteDates(names, date, dates, closed, bool(tried[date >= closed].any()), bool(done.all()))


def _ended(table: pa.Table) -> pa.ChunkedArray:
    lost = pc.or_(pc.equal(table["cause_class"], "platform"), pc.equal(table["outcome"], "cancelled"))
    return pc.and_(pc.is_valid(table["outcome"]), pc.invert(pc.fill_null(lost, fill_value=False)))


def _count(where: pa.ChunkedArray, blocks: int) -> Ints:
    """Rows per block, (n,); rows of no planned block count for nothing."""
    return np.bincount(np.asarray(pc.drop_null(where).to_numpy(), dtype=np.int64), minlength=blocks)
