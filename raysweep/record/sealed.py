"""Which sealed segments the rows of a file come from, in order: a merged file keeps it in its metadata.

A reader of files that are merged meanwhile can so cut the ledger at the same rows whatever file holds them now. Merged
files of versions before this one keep nothing; all their rows count as one segment, also once they are merged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.errors import bad_input
from raysweep.record.versions import SEALED_KEY

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.segments import Part


@dataclass(frozen=True, slots=True)
class SealedRows:
    """Neighbouring rows of one sealed segment: its number in its epoch, and how many of its rows are there."""

    segment: int
    rows: int


def sealed_rows(table: pa.Table, part: Part) -> list[SealedRows]:
    """The segments of a whole file as `read_segment` gave it; InputError where its metadata contradicts its rows."""
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    text = metadata.get(SEALED_KEY)
    if text is None:
        return [SealedRows(part.first, len(table))]
    try:
        sealed = [SealedRows(*map(int, pair.split(b":"))) for pair in text.split()]
    except (TypeError, ValueError):
        sealed = []
    if sum(one.rows for one in sealed) != len(table):
        raise bad_input(
            "this segment of the ledger cannot be read (its counts of rows are not those of its rows)",
            "restore it from a copy; the other segments are not affected",
            file=part.name,
        )
    return sealed


def sealed_text(sealed: Iterable[SealedRows]) -> str:
    """The value of SEALED_KEY for a file that holds these, in order."""
    return " ".join(f"{one.segment}:{one.rows}" for one in sealed)


def behind(sealed: Iterable[SealedRows], rows: int) -> list[SealedRows]:
    """What is left of `sealed` without its first `rows` rows."""
    left = []
    for one in sealed:
        taken = min(rows, one.rows)
        rows -= taken
        if taken < one.rows:
            left.append(SealedRows(one.segment, one.rows - taken))
    return left
