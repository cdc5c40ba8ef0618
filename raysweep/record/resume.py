"""What the ledger says about where a sweep is: finished trials, block runs under way, and the counts of `status`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
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
    """Last run by block, highest attempt number by trial, and when the last attempt stopped."""

    blocks: Mapping[str, RunState] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    last: float = 0.0


_COLUMNS = ("block_id", "trial_id", "block_run", "attempt", "outcome", "cause", "cause_class", "t_queued", "t_stopped")


def sweep_state(table: pa.Table) -> SweepState:
    """The state of a sweep from all its attempts (any order)."""
    rows = sorted(table.select(_COLUMNS).to_pylist(), key=lambda r: r["attempt"])
    runs: dict[str, int] = {}
    attempts: dict[str, int] = {}
    began: dict[tuple[str, int], float] = {}
    ended: defaultdict[tuple[str, int], dict[str, bool]] = defaultdict(dict)
    lost: defaultdict[tuple[str, int], Counter[tuple[str, str]]] = defaultdict(Counter)
    last = 0.0
    for row in rows:
        key = (row["block_id"], row["block_run"])
        runs[row["block_id"]] = max(runs.get(row["block_id"], 0), row["block_run"])
        attempts[row["trial_id"]] = row["attempt"]
        queued = row["t_queued"].timestamp()
        began[key] = min(began.get(key, queued), queued)
        ended[key][row["trial_id"]] = not unfinished(row)
        if row["cause_class"] == "platform":
            lost[key][row["trial_id"], row["cause"]] += 1
        last = max(last, row["t_stopped"].timestamp())
    blocks = {
        block: RunState(
            run,
            frozenset(t for t, done in ended[block, run].items() if done),
            began[block, run],
            lost.get((block, run), _NOTHING),
        )
        for block, run in runs.items()
    }
    return SweepState(blocks, attempts, last)


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
    final = table.filter(table["is_final"]).select(["outcome", "cause", "cause_class"]).to_pylist()
    done = [row for row in final if not unfinished(row)]
    by_outcome = Counter(f"{r['outcome']}/{r['cause']}" if r["cause"] else r["outcome"] for r in done)
    return {
        "planned": planned,
        "done": len(done),
        "running": running,
        "by_outcome": dict(sorted(by_outcome.items())),
        "complete": len(done) == planned,
    }
