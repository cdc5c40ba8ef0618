"""How far a run is, from its ledger and the heartbeat of its driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysweep.clock import SystemClock
from raysweep.study.balance import missed_windows

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is, over final attempts.

    Attributes:
        planned: trials of the plan.
        done: trials that need no further attempt.
        running: attempts in flight.
        by_outcome: trials by outcome, with the cause after a slash.
        complete: whether every trial is done.
        missed: what windows that closed lack (raysweep.study.balance.missed_windows); None for nothing.
        models: what all attempts used of model APIs: calls, rate_limited, tokens_in, tokens_out, usd, unpriced (calls
            whose cost is unknown); None where no call was recorded.
        notes: what was superseded, which blocks lack trials, and that the registered rule stopped the sweep.

    """

    planned: int
    done: int
    running: int
    by_outcome: dict[str, int]
    complete: bool
    missed: dict[str, Any] | None
    models: dict[str, Any] | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """{planned, done, running, by_outcome, complete, missed, models}."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "notes"}


def read_status(path: RunPath) -> RunStatus:
    """How far the run at `path` is; InputError when there is none, or it is damaged."""
    from raysweep.record.place import running_at
    from raysweep.record.reader import read_progress
    from raysweep.record.resume import status

    table, planned = read_progress(path)
    clock = SystemClock()
    counts = status(table, planned, running_at(path, clock))
    missed = None if counts["complete"] else missed_windows(path, table, clock.now())
    return RunStatus(**counts, missed=missed, models=_model_use(path), notes=tuple(_notes(path, table)))


USED = {
    "calls": "api_calls",
    "rate_limited": "api_429",
    "tokens_in": "tokens_in",
    "tokens_out": "tokens_out",
    "usd": "cost_usd",
    "unpriced": "api_unpriced",
}


def _model_use(path: RunPath) -> dict[str, Any] | None:
    """Sums over all attempts, lost and superseded ones included: their calls were made, too."""
    import pyarrow.compute as pc

    from raysweep.record.reader import open_run, read_attempts

    attempts = read_attempts(open_run(path), ("attempt_id", *USED.values()))
    used = {name: pc.sum(attempts[column]).as_py() for name, column in USED.items()}
    return used if used["calls"] else None


def _notes(path: RunPath, table: pa.Table) -> list[str]:
    from raysweep.record.reader import open_run, read_plan
    from raysweep.record.reruns import named, reruns, sentence
    from raysweep.record.stopped import read_stop

    seen, store = reruns(table), open_run(path)
    notes = [text] if (text := sentence(seen)) is not None else []
    if seen.lacking:
        planned = read_plan(store, str(path), ["block_id", "task", "repeat", "bucket", "date"])
        notes.append(f"{len(seen.lacking)} blocks lack trials that the platform took: {named(seen.lacking, planned)}")
    stopped = read_stop(store)
    return [*notes, f"stopped by the registered rule: {stopped['reason']}"] if stopped is not None else notes
