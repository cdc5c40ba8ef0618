"""Enforcement probes as they are kept: `probes/<occasion>-<n>.parquet`, one row per probe, one file per round.

A file is written once, whole or not at all, and never edited; the n-th round of an occasion has number n.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.errors import bad_input
from raysweep.record.schema import Column, Row, schema_of, to_table
from raysweep.record.store import Store
from raysweep.record.versions import conform, joined, refuse_newer_file, refuse_schema

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "probes"
SCHEMA_VERSION = 1
BEFORE, AFTER = "before", "after"
"""Moments of a round: before the first block of an occasion, after its last."""

COLUMNS: tuple[Column, ...] = (
    Column("run_id", "text", "the run directory's identity"),
    Column("probe_id", "text", "one probe; also its sandbox's name"),
    Column("bucket", "text", "time-of-day window around whose blocks it ran"),
    Column("occasion", "text", "date (or cycle) on which that window opened"),
    Column("moment", "text", "before the first block of the occasion, or after its last"),
    Column("band", "text", "band name"),
    Column("limit_memory_mult", "float", "multiplier of the band's limit; null = none"),
    Column("limit_cpu_mult", "float", "multiplier of the band's limit; null = none"),
    Column("spec_memory", "int", "bytes that a probe counts as declaring"),
    Column("spec_cpu", "int", "millicores that a probe counts as declaring"),
    Column("limit_memory_asked", "int", "bytes, multiplier x spec; null = none"),
    Column("limit_memory_admitted", "int", "bytes, read back after creation; null = none"),
    Column("limit_cpu_asked", "int", "millicores, multiplier x spec; null = none"),
    Column("limit_cpu_admitted", "int", "millicores, read back after creation; null = none"),
    Column("t_queued", "time", "wall time at dispatch"),
    Column("t_stopped", "time", "wall time at which its sandbox was gone"),
    Column("held_bytes", "int", "allocated just under the limit; uncapped: above the largest finite limit"),
    Column("held", "bool", "that allocation lived; false = it was killed; null unknown"),
    Column("held_s", "float", "seconds until it was done or killed"),
    Column("held_cause", "text", "whose limit killed it, as for a trial"),
    Column("held_cause_class", "text", "resource, platform or unknown"),
    Column("past_bytes", "int", "allocated just past the limit; null where there is no limit"),
    Column("killed", "bool", "that allocation was killed; false = it lived; null unknown"),
    Column("own_limit", "bool", "the kill is proven to be that of the own limit"),
    Column("kill_s", "float", "seconds from its start to the kill"),
    Column("kill_of", "text", "process: the one that allocated; group: the whole sandbox"),
    Column("past_cause", "text", "whose limit killed it, as for a trial"),
    Column("past_cause_class", "text", "resource, platform or unknown"),
    Column("past_exit", "int", "exit code of the allocation, where it had one"),
    Column("oom_kills", "int", "processes killed by any OOM killer while it ran"),
    Column("cpu_used_s", "float", "cpu seconds that a busy loop got"),
    Column("cpu_wall_s", "float", "wall seconds that it ran"),
    Column("nr_throttled", "int", "periods in which the quota throttled it"),
    Column("platform", "text", "platform cause that ended the probe itself; it then says nothing about limits"),
    Column("detail", "text", "what was seen, for a person"),
    Column("node", "map", "facts of the node"),
    Column("schema_version", "int", "version of this schema"),
)


IDENTITY = ("probe_id", "bucket", "occasion", "moment")
"""Columns without which a probe cannot be placed."""


@dataclass(frozen=True, slots=True)
class Round:
    """One moment at which every band is probed: of a bucket, on an occasion (label), BEFORE or AFTER its blocks."""

    bucket: str
    occasion: str
    moment: str


def write_round(store: Store, done: Round, rows: Sequence[Row]) -> str:
    """Keep the rows of one round under a name that is not taken; returns the name."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - the command line starts without pyarrow

    sink = io.BytesIO()
    pq.write_table(to_table(list(rows), COLUMNS), sink, compression="zstd", write_page_checksum=True)
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", f"{done.bucket} {done.occasion}")
    number = 1
    while True:
        name = f"{FOLDER}/{prefix}-{number}.parquet"
        try:
            store.put_new(name, sink.getvalue())
        except FileExistsError:
            number += 1
        else:
            return name


def read_probes(store: Store) -> pa.Table:
    """All probes by time, columns as of `record.versions`; an empty table of COLUMNS where there are none.

    InputError names a file that is broken or needs a newer reader.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    parts = [schema_of(COLUMNS).empty_table()]
    for name in store.names(FOLDER):
        try:
            data = pa.BufferReader(store.get(f"{FOLDER}/{name}"))
            table = pq.ParquetFile(data, page_checksum_verification=True).read(use_threads=False)  # as in segments.py
        except (pa.ArrowException, OSError) as error:
            raise _broken(name, f"cannot be read ({error})") from error
        refuse_newer_file(table.schema.metadata, f"{FOLDER}/{name}")
        refuse_schema(table.schema, parts[0].schema, IDENTITY, f"{FOLDER}/{name}")
        parts.append(conform(table, parts[0].schema, f"{FOLDER}/{name}", unknown=True))
    return joined(parts).sort_by("t_queued")


def _broken(name: str, what: str) -> Exception:
    return bad_input(f"this file of probes {what}", "restore it from a copy", file=f"{FOLDER}/{name}")


def count_rounds(store: Store) -> int:
    """Rounds that were kept so far."""
    return len(store.names(FOLDER))


def rounds_done(table: pa.Table) -> frozenset[Round]:
    """Rounds that have rows, whatever they say."""
    rows = table.select(["bucket", "occasion", "moment"]).to_pylist()
    return frozenset(Round(r["bucket"], r["occasion"], r["moment"]) for r in rows)
