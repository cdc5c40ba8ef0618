"""What a report says of superseded attempts, and of blocks that have no complete run, by name."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from raysweep.record.reruns import named, reruns, sentence
from raysweep.stats.finding import Check
from raysweep.vocabulary import CheckStatus


def checks(table: pa.Table, planned: pa.Table) -> Iterator[Check]:
    """Codes "superseded" (note) and "blocks_lacking" (warning); nothing where every attempt counts."""
    again = reruns(table)
    said = sentence(again)
    if said is not None:
        remedy = "they stay in the ledger and count in shares of all attempts only"
        yield Check("superseded", CheckStatus.NOTE, said, remedy)
    if again.lacking:
        n = len(again.lacking)
        message = f"{n} block{' has' if n == 1 else 's have'} no complete run: {named(again.lacking, planned)}"
        yield Check(
            "blocks_lacking", CheckStatus.WARNING, message, "`raysweep run` again while windows and `block_reruns` last"
        )
