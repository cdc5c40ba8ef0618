"""What was superseded in a ledger: attempts that were retried, blocks that were run again, blocks without a run.

Pure; for status and report alike. Which attempts are final: record.reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 10
"""So many blocks are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """A block whose last run (`run`) lacks trials that the platform took: causes, with how many trials each."""

    block_id: str
    run: int
    causes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Reruns:
    """What does not count, and what is missing.

    retried: attempts after which their trial was tried again in the same run of its block. superseded: attempts of
    runs that another run of their block stands for; again: how many blocks have more than one run. lacking: blocks
    without a complete run because the platform took trials of the last one, in order of their ids.
    """

    retried: int
    superseded: int
    again: int
    lacking: tuple[Lacking, ...]


def reruns(table: pa.Table) -> Reruns:
    """What was superseded among all attempts (columns of record.schema and is_final)."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    second = table["block_id"].filter(pc.fill_null(pc.greater(table["block_run"], 1), fill_value=False)).unique()
    twice = table.filter(pc.is_in(table["block_id"], value_set=second))
    rows = twice.select(["block_id", "block_run", "is_final"]).to_pylist()
    stands = {r["block_id"]: r["block_run"] for r in rows if r["is_final"]}
    superseded = sum(stands.get(r["block_id"]) != r["block_run"] for r in rows)
    left = len(table) - (pc.sum(table["is_final"]).as_py() or 0)
    taken = pc.and_(table["is_final"], pc.fill_null(pc.equal(table["cause_class"], "platform"), fill_value=False))
    causes: dict[tuple[str, int], Counter[str]] = {}
    for r in table.filter(taken).select(["block_id", "block_run", "cause"]).to_pylist():
        causes.setdefault((r["block_id"], r["block_run"]), Counter())[r["cause"] or "unknown"] += 1
    lacking = tuple(Lacking(block, run, tuple(sorted(found.items()))) for (block, run), found in sorted(causes.items()))
    return Reruns(left - superseded, superseded, len(second), lacking)


def sentence(found: Reruns) -> str | None:
    """How many attempts do not count, and why; None where all do."""
    if not found.retried and not found.superseded:
        return None
    parts = [f"{found.retried} were retried within the run of their block"] if found.retried else []
    if found.superseded:
        blocks, were = (f"{found.again} block", "was") if found.again == 1 else (f"{found.again} blocks", "were")
        parts.append(f"{found.superseded} belong to earlier runs of {blocks} that {were} later repeated")
    return f"{found.retried + found.superseded} attempts are superseded: {'; '.join(parts)}"


def named(lacking: Sequence[Lacking], planned: pa.Table) -> str:
    """The first of these blocks by task, repeat, bucket and date (`planned`: plan.parquet), with run and causes."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    shown = lacking[:SHOWN]
    rows = planned.filter(pc.is_in(planned["block_id"], value_set=pa.array([one.block_id for one in shown])))
    of = {r["block_id"]: r for r in rows.to_pylist()}
    told = [f"{_name(one.block_id, of.get(one.block_id, {}))} ({_why(one)})" for one in shown]
    more = f", and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    return "; ".join(told) + more


def _name(block_id: str, row: dict[str, object]) -> str:
    words = {"task": "", "repeat": "repeat ", "bucket": "", "date": "date "}
    if not set(words) <= set(row):
        return block_id
    return " ".join(f"{word}{row[key]}" for key, word in words.items())


def _why(one: Lacking) -> str:
    return f"run {one.run}: {', '.join(f'{n} {cause}' for cause, n in one.causes)}"
