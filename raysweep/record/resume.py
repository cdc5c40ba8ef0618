"""What the ledger says about where a sweep is: finished trials, block runs under way, and the counts of `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

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
    """Last run by block, highest attempt number by trial, and when the last attempt stopped.

    durations: seconds that the latest whole block runs took, the last one last.
    """

    blocks: Mapping[str, RunState] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
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
    """A block's last run as far as its rows were taken; attempts of a trial are taken in order."""

    run: int
    began: float
    ended: set[str] = field(default_factory=set)
    lost: Counter[tuple[str, str]] | None = None

    def take(self, row: Mapping[str, Any]) -> None:
        """Count one attempt of this very run."""
        trial = row["trial_id"]
        self.began = min(self.began, row["t_queued"].timestamp())
        if unfinished(row):
            self.ended.discard(trial)
        else:
            self.ended.add(trial)
        if row["cause_class"] == "platform":
            self.lost = self.lost if self.lost is not None else Counter()
            self.lost[trial, row["cause"]] += 1

    def state(self) -> RunState:
        return RunState(self.run, frozenset(self.ended), self.began, self.lost if self.lost is not None else _NOTHING)


def sweep_state(table: pa.Table) -> SweepState:
    """The state of a sweep from all its attempts (columns COLUMNS; `durations` are those of the last rows)."""
    attempts: dict[str, int] = {}
    blocks: dict[str, Any] = {}
    last = 0.0
    for row in _in_order(table.select(COLUMNS)):
        attempts[row["trial_id"]] = row["attempt"]
        fold = blocks.get(row["block_id"])
        if fold is None or fold.run < row["block_run"]:
            fold = blocks[row["block_id"]] = _Fold(row["block_run"], row["t_queued"].timestamp())
        if fold.run == row["block_run"]:
            fold.take(row)
        last = max(last, row["t_stopped"].timestamp())
    for block, fold in blocks.items():
        blocks[block] = fold.state()
    return SweepState(blocks, attempts, last, _durations(table))


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
    """All rows in the order of their attempts' numbers: first attempts, which are most, then the rest sorted."""
    import pyarrow.compute as pc  # noqa: PLC0415 - the command line starts without pyarrow

    again = pc.greater(table["attempt"], 1)
    for batch in table.filter(pc.invert(again)).to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()
    yield from sorted(table.filter(again).to_pylist(), key=lambda row: row["attempt"])


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
    """design.md's `status --json`: {planned, done, running, by_outcome, complete}, over final attempts.

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
