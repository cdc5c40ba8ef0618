"""`run --stop-when-decided`: the registered sequential rule, asked once the dates of a planned look are complete.

Belongs here: when to ask `stats.stop.decide`, and the record of its answer in the run directory. Does not: the rule.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raysweep.errors import bad_input
from raysweep.record.stopped import write_stop

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from raysweep.config import Sweep
    from raysweep.record.schema import Row
    from raysweep.record.store import Store
    from raysweep.stats.design import Design
    from raysweep.stats.stop import Decision

BATCH = 1000
"""Rows that wait as Python objects before they are kept as columns."""


def refuse_without_looks(sweep: Sweep) -> None:
    """InputError when the sweep registered no looks, so that no rule could stop it."""
    if not sweep.analysis.looks:
        raise bad_input(
            "`--stop-when-decided` needs registered looks, and the sweep has none",
            "plan them before the first trial (`looks: 4`, at most one per date), or run without the option",
            file=str(sweep.source_path or sweep.name),
            key="analysis.looks",
            value="0",
        )


def write_record(store: Store, stop: Decision, now: float) -> None:
    """Record that the rule stopped the sweep at `now`; the first record stands."""
    write_stop(store, {key: value for key, value in asdict(stop).items() if key != "findings"}, now)


class Dates:
    """Counts which leading dates of a plan are complete, attempt by attempt, as `stats.findings.progress` says it."""

    def __init__(self, planned: pa.Table) -> None:
        sizes = planned.group_by(["block_id", "date"]).aggregate([([], "count_all")]).to_pydict()
        ranks = {date: n for n, date in enumerate(sorted(set(sizes["date"])))}
        self._date = {b: ranks[d] for b, d in zip(sizes["block_id"], sizes["date"], strict=True)}
        self._size = dict(zip(sizes["block_id"], sizes["count_all"], strict=True))
        self._left: dict[str, tuple[int, int]] = {}
        self._open = Counter(self._date.values())
        self._untried = Counter(self._date.values())
        self._begun = -1
        self.planned = len(ranks)

    def add(self, row: Mapping[str, Any], *, ended: bool) -> None:
        """Count one attempt of a planned block; ended: it leaves its trial done."""
        block, run = row["block_id"], row["block_run"]
        date = self._date[block]
        self._begun = max(self._begun, date)
        known, left = self._left.get(block, (0, 0))
        if not known:
            self._untried[date] -= 1
        if run != known:
            known, left = run, self._size[block]
        if ended:
            left -= 1
            self._open[date] -= left == 0
        self._left[block] = known, left

    @property
    def closed(self) -> int:
        """Leading dates that are complete, or tried throughout with a later date begun."""
        for date in range(self.planned):
            if self._open[date] and (self._untried[date] or self._begun <= date):
                return date
        return self.planned


class Rule:
    """The registered rule over a ledger that grows. attempts: those so far; decided: where it stops the sweep."""

    def __init__(self, attempts: pa.Table, planned: pa.Table, design: Design) -> None:
        from raysweep.record.resume import unfinished
        from raysweep.stats.live import Rows
        from raysweep.stats.methods.sequential import look_dates

        self._planned, self._design, self._rows = planned, design, Rows()
        self._waiting: list[Row] = []
        self._dates = Dates(planned)
        self._unfinished = unfinished
        # The last look is the end of the sweep, which needs nobody to stop it.
        self._looks = list(look_dates(self._dates.planned, min(design.looks, self._dates.planned)))[:-1]
        self.decided: Decision | None = None
        if len(attempts):
            self._rows.add(attempts)
            seen = attempts.select(["block_id", "block_run", "attempt", "outcome", "cause_class"])
            for batch in seen.sort_by("block_run").to_batches(max_chunksize=BATCH):
                for row in batch.to_pylist():
                    self._dates.add(row, ended=not unfinished(row))
            self._ask()

    def add(self, row: Row) -> Decision | None:
        """Take an attempt; the look that stops the sweep, when this attempt completes its dates."""
        if self.decided is not None:
            return None
        self._waiting.append(row)
        self._dates.add(row, ended=not self._unfinished(row))
        if len(self._waiting) >= BATCH:
            self._keep()
        return self._ask()

    def _keep(self) -> None:
        from raysweep.record.schema import to_table

        if self._waiting:
            self._rows.add(to_table(self._waiting))
            self._waiting = []

    def _ask(self) -> Decision | None:
        """Each look is asked once: what later runs of its blocks change does not make another look."""
        from raysweep.record.reader import with_is_final
        from raysweep.stats.stop import decide

        if not self._looks or self._dates.closed < self._looks[0]:
            return None
        self._looks = [n for n in self._looks if n > self._dates.closed]
        self._keep()
        table = self._rows.table()
        stop = decide(with_is_final(table, self._planned), self._planned, self._design) if table is not None else None
        self.decided = stop if stop is not None and stop.look < stop.looks else None
        return self.decided
