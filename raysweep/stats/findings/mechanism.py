"""What could move the score with the hour, beside it: model API and co-tenancy per bucket. Description, no intervals.

Belongs here: columns of all attempts (superseded ones too) by the bucket in which they started. Does not: the score
itself, or any claim that one causes the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Floats
from raysweep.stats.cube import RUN, Cube
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.vocabulary import Outcome

MEDIANS = ("api_p50_ms", "api_p95_ms")
"""Latencies are skewed: their median over attempts."""
NODE_KEYS = ("hostname", "name")
"""Under which a node's name stands: of this machine, of a cluster's node."""
COUNTED = (("n_tasks", "task"), ("n_dates", "occasion"))


def mechanism(table: pa.Table, cube: Cube) -> Iterator[Finding]:
    """Findings per bucket (facet BUCKET), where known: latency (ms), 429 answers per attempt (count), and others.

    table: all attempts; one that started outside every window counts where it was planned. model_api_rate: share that
    the model API ended. cotenancy: other attempts at work on the same node when an agent started, mean.
    """
    measures = _measures(table)
    date, where = (pc.coalesce(table[f"actual_{name}"], table[name]) for name in ("occasion", "bucket"))
    narrow = pa.table({"task": table["task"], "occasion": date} | measures)
    for bucket in cube.buckets:
        mine = narrow.filter(pc.fill_null(pc.equal(where, bucket), fill_value=False))
        counted = {side: pc.count_distinct(mine[name]).as_py() for side, name in COUNTED}
        for name in measures:
            known = pc.drop_null(mine[name])
            if len(known):
                median = name in MEDIANS
                value = pc.quantile(known, 0.5)[0] if median else pc.mean(known)
                yield Finding(
                    estimand=name, model=None, arm=None, reference=None, bucket=bucket, facet=Facet(FacetKind.BUCKET),
                    value=float(value.as_py()), low=None, high=None, level=None,
                    method=f"{'median' if median else 'mean'} over attempts where known; description",
                    resampled_over="", n_attempts=len(known), **counted,
                )  # fmt: skip


def _measures(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The column (double, null = unknown) of each measure."""
    return {
        **{name: pc.cast(table[name], pa.float64()) for name in MEDIANS},
        "api_429": pc.cast(table["api_429"], pa.float64()),
        "model_api_rate": pc.cast(pc.equal(table["outcome"], Outcome.MODEL_API), pa.float64()),
        "cotenancy": pa.chunked_array([_others(table)]),
    }


def _others(table: pa.Table) -> pa.Array:
    """Other attempts in their agent phase on the same node at the start of each one's; null where not known."""
    node = pc.coalesce(*(pc.map_lookup(table["node"], pa.scalar(key), "first") for key in NODE_KEYS))
    if RUN in table.column_names:  # a name is one machine within its run; in another cluster it is another
        node = pc.binary_join_element_wise(table[RUN], node, "/")
    start, end = (pc.cast(table[f"t_agent_{side}"], pa.int64()) for side in ("start", "end"))
    known = np.asarray(pc.and_(pc.is_valid(node), pc.and_(pc.is_valid(start), pc.is_valid(end))))
    others = np.full(len(table), np.nan)
    if known.any():
        mask = pa.array(known)
        codes = node.filter(mask).combine_chunks().dictionary_encode().indices.to_numpy()
        others[known] = overlapping(codes, *(np.asarray(t.filter(mask), dtype=np.float64) for t in (start, end)))
    return pa.array(others, mask=~known)


def overlapping(node: Floats, start: Floats, end: Floats) -> Floats:
    """How many other intervals [start, end) of the same node (code) hold each one's start; all (n,), end >= start."""
    first = start.min()
    span = end.max() - first + 1.0
    begin, close = node * span + (start - first), node * span + (end - first)
    open_now = np.searchsorted(np.sort(begin), begin, side="right") - np.searchsorted(
        np.sort(close), begin, side="right"
    )
    return np.asarray(open_now - (close > begin), dtype=np.float64)
