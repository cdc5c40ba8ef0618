"""What the ledger says about where a sweep is: finished trials, block runs under way, and the counts of `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


_NOTHING: Mapping[tuple[str, str], int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RunState:
    """A block's last run: its number, the trials that ended for good in it, and when it began (epoch seconds).

    lost: attempts of it that a platform cause ended, by (trial, cause).
    """

    run: int
    ended: frozenset[str]
    began: float
    lost: Mapping[tuple[str, str], int] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class SweepState:
    """Where a sweep is; of blocks that are complete nothing but their ids, as nothing of them is ever run again.

    blocks: last run of each other block that was begun. attempts: highest attempt number of each trial of `blocks`.
    done: trials that ended for good, in either. last: when the last attempt stopped (epoch seconds). durations: seconds
    that the latest whole block runs took, the last one last.
    """

    blocks: Mapping[str, RunState] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    complete: frozenset[str] = frozenset()
    done: int = 0
    last: float = 0.0
    durations: tuple[float, ...] = ()


COLUMNS = (
    "block_id", "trial_id", "block_run", "attempt", "outcome", "cause", "cause_class", "t_queued", "t_stopped",
)  # fmt: skip
"""What `sweep_state` needs of the attempts."""
RECENT = 200
"""Block runs whose durations are told: enough for a percentile, recent enough for a drift."""
_BATCH = 20_000
"""Rows that are Python objects at a time: a million of them at once take a gigabyte."""


@dataclass(slots=True)
class _Fold:
    """A block's last run as far as its rows were taken, in the order of their attempts; attempt numbers of all runs."""

    run: int
    began: float
    ended: set[str] = field(default_factory=set)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)

    def take(self, row: Mapping[str, Any]) -> None:
        """Count one attempt, of this run or another."""
        trial, run, began = row["trial_id"], row["block_run"], row["t_queued"].timestamp()
        self.attempts[trial] = row["attempt"]
        if run > self.run:
            self.run, self.began, self.ended, self.lost = run, began, set(), Counter()
        if run < self.run:
            return
        self.began = min(self.began, began)
        if unfinished(row):
            self.ended.discard(trial)
        else:
            self.ended.add(trial)
        if row["cause_class"] == "platform":
            self.lost[trial, row["cause"]] += 1

    def state(self) -> RunState:
        return RunState(self.run, frozenset(self.ended), self.began, self.lost or _NOTHING)


def sweep_state(table: pa.Table, arms: int) -> SweepState:
    """The state of a sweep from all its attempts (columns COLUMNS; `durations` are those of the last rows).

    arms: trials of a block.
    """
    if not len(table):
        return SweepState()
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    complete, rest = _at_once(table, arms)
    folds: dict[str, _Fold] = {}
    for row in _in_order(rest):
        block = row["block_id"]
        if block not in folds:
            folds[block] = _Fold(row["block_run"], row["t_queued"].timestamp())
        folds[block].take(row)
    complete.update(block for block, fold in folds.items() if len(fold.ended) == arms)
    left = {block: fold for block, fold in folds.items() if len(fold.ended) < arms}
    return SweepState(
        blocks={block: fold.state() for block, fold in left.items()},
        attempts={trial: number for fold in left.values() for trial, number in fold.attempts.items()},
        complete=frozenset(complete),
        done=arms * len(complete) + sum(len(fold.ended) for fold in left.values()),
        last=pc.max(table["t_stopped"]).as_py().timestamp(),
        durations=_durations(table),
    )


def _at_once(table: pa.Table, arms: int) -> tuple[set[str], pa.Table]:
    """(blocks whose every trial ended in its first attempt, attempts of all others): most blocks need no more."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    coded = table["block_id"].combine_chunks().dictionary_encode()
    codes = np.asarray(coded.indices)
    left = pc.or_(
        pc.fill_null(pc.equal(table["cause_class"], "platform"), fill_value=False),
        pc.fill_null(pc.equal(table["outcome"], "cancelled"), fill_value=False),
    )
    first = pc.and_(pc.equal(table["attempt"], 1), pc.equal(table["block_run"], 1))
    plain = pc.fill_null(pc.and_not(first, left), fill_value=False).to_numpy()
    size = len(coded.dictionary)
    rows, plain_rows = np.bincount(codes, minlength=size), np.bincount(codes[plain], minlength=size)
    whole = (rows == arms) & (plain_rows == arms)
    complete = set(coded.dictionary.filter(pa.array(whole)).to_pylist())
    return complete, table.select(COLUMNS).filter(pa.array(~whole[codes]))


def _durations(table: pa.Table) -> tuple[float, ...]:
    """Seconds of the latest block runs in which every arm was run and none was interrupted."""
    import pyarrow as pa  # noqa: PLC0415 - the command line starts without pyarrow
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    table = table.slice(max(0, len(table) - _BATCH))  # in order of sealing: the latest are here
    runs = (
        table.select(["block_id", "block_run", "trial_id", "t_queued", "t_stopped"])
        .append_column("cancelled", pc.equal(table["outcome"].cast(pa.string()), "cancelled"))
        .group_by(["block_id", "block_run"])
        .aggregate([("trial_id", "count_distinct"), ("cancelled", "any"), ("t_queued", "min"), ("t_stopped", "max")])
    )
    if not len(runs):
        return ()
    whole = pc.equal(runs["trial_id_count_distinct"], pc.max(runs["trial_id_count_distinct"]))
    runs = runs.filter(pc.and_not(whole, runs["cancelled_any"])).sort_by("t_stopped_max")
    ends = zip(
        runs["t_queued_min"].slice(max(0, len(runs) - RECENT)).to_pylist(),
        runs["t_stopped_max"].slice(max(0, len(runs) - RECENT)).to_pylist(),
        strict=True,
    )
    return tuple((stopped - queued).total_seconds() for queued, stopped in ends)


def _in_order(table: pa.Table) -> Iterator[dict[str, Any]]:
    """All rows in the order of their attempts' numbers, and of sealing where these are equal."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    for batch in table.take(pc.sort_indices(table["attempt"])).to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()


def unfinished(row: Mapping[str, Any]) -> bool:
    """Whether an attempt leaves its trial still to be run: a platform cause, or cancelled."""
    return bool(row["cause_class"] == "platform" or row["outcome"] == "cancelled")


def count_done(table: pa.Table) -> int:
    """Final attempts (table: all, with is_final) that leave their trial done."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    platform = pc.fill_null(pc.equal(table["cause_class"], "platform"), fill_value=False)
    cancelled = pc.fill_null(pc.equal(table["outcome"], "cancelled"), fill_value=False)
    left = pc.or_(platform, cancelled)
    return int(pc.sum(pc.and_not(table["is_final"], left)).as_py() or 0)


def status(table: pa.Table, planned: int, running: int) -> dict[str, Any]:
    """What `status --json` prints: {planned, done, running, by_outcome, complete}, over final attempts.

    table: all attempts with is_final. done: trials whose final attempt is an outcome; by_outcome counts their final
    attempts, with the cause after a slash ("infra/oom_limit").
    """
    final = table.filter(table["is_final"]).select(["outcome", "cause", "cause_class"])
    counts = final.group_by(final.column_names).aggregate([([], "count_all")]).to_pylist()
    by_outcome: Counter[str] = Counter()
    for row in counts:
        if not unfinished(row):
            by_outcome[f"{row['outcome']}/{row['cause']}" if row["cause"] else row["outcome"]] += row["count_all"]
    done = by_outcome.total()
    return {
        "planned": planned,
        "done": done,
        "running": running,
        "by_outcome": dict(sorted(by_outcome.items())),
        "complete": done == planned,
    }
