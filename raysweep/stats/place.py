"""In which occasion each block ran: planned bucket and date, or the one in which all its trials really started.

Belongs here: planned against actual start. Does not: what an occasion does to a score (findings.timeofday).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Ints
from raysweep.stats.columns import Codes, coded, filled, flags, whole

_COLUMNS = ["bucket", "occasion", "actual_bucket", "actual_occasion", "crossed_boundary"]
OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Places:
    """bucket, date: names of the occasion in which each of n blocks counts; moved, crossed: as in Cube."""

    bucket: pa.Array
    date: pa.Array
    moved: Bools
    crossed: Bools


def places(table: pa.Table, block: Codes, first: Ints, doubtful: Bools) -> Places:
    """Where the blocks of a ledger ran, by their final rows.

    block: (rows,) codes 0..n-1; first: (n,) a row of each block; doubtful: as `elsewhere` gives it. A row without an
    actual bucket started outside every window; where it does not say either whether it crossed a boundary, nothing was
    recorded and the plan stands. An actual bucket without a date keeps the planned date.
    """
    n, at = len(first), pa.array(first)
    bucket, date = (filled(whole(table[name].take(at))) for name in ("bucket", "occasion"))
    if not doubtful.any():
        return Places(bucket, date, np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
    suspect = np.zeros(n, dtype=bool)
    suspect[block[doubtful]] = True
    rows = np.flatnonzero(suspect[block] & flags(table["is_final"]))
    occasion, where, when = _actual(table.select(_COLUMNS).take(pa.array(rows)))
    low, high = (np.full(n, OUTSIDE, dtype=np.int64) for _ in range(2))
    low[block[rows]] = high[block[rows]] = occasion
    np.minimum.at(low, block[rows], occasion)
    np.maximum.at(high, block[rows], occasion)
    one = (low == high) & (low != OUTSIDE)
    there, then = where.take(pa.array(low[one])), when.take(pa.array(low[one]))
    other = flags(pc.or_(pc.not_equal(there, bucket.filter(one)), pc.not_equal(then, date.filter(one))))
    moved = np.zeros(n, dtype=bool)
    moved[np.flatnonzero(one)[other]] = True
    mask, chosen = pa.array(moved), pa.array(other)
    return Places(
        bucket=pc.replace_with_mask(bucket, mask, there.filter(chosen)),
        date=pc.replace_with_mask(date, mask, then.filter(chosen)),
        moved=moved,
        crossed=suspect & ~one,
    )


def elsewhere(table: pa.Table) -> Bools:
    """(rows,) final rows that are not known to have started in their planned occasion."""
    pairs = [(table[name], table[f"actual_{name}"]) for name in ("bucket", "occasion")]
    if all(planned.equals(actual) and not planned.null_count for planned, actual in pairs):
        return np.zeros(len(table), dtype=bool)
    there = pc.and_(*(pc.equal(planned, actual) for planned, actual in pairs))
    return ~flags(there) & flags(table["is_final"])


def _actual(rows: pa.Table) -> tuple[Ints, pa.Array, pa.Array]:
    """Code of the occasion in which each row started (OUTSIDE: in none); bucket and date behind the codes."""
    nowhere = pc.is_null(rows["actual_bucket"])
    untold = pc.and_(nowhere, pc.is_null(rows["crossed_boundary"]))
    bucket, buckets = coded(pc.if_else(untold, rows["bucket"], rows["actual_bucket"]))
    date, dates = coded(pc.if_else(nowhere, rows["occasion"], pc.coalesce(rows["actual_occasion"], rows["occasion"])))
    outside = flags(pc.and_not(nowhere, untold))
    code = np.where(outside, OUTSIDE, bucket.astype(np.int64) * len(dates) + date)
    pairs = np.arange(len(buckets) * len(dates))
    return code, buckets.take(pa.array(pairs // max(1, len(dates)))), dates.take(pa.array(pairs % max(1, len(dates))))
