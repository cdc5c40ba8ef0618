"""Windows that closed with blocks missing, and what that costs, from the run directory alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysweep.config.model import ALWAYS
from raysweep.kind import find_kind

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.record.place import RunPath
    from raysweep.record.store import Store


def missed_windows(path: RunPath, table: pa.Table, now: float) -> dict[str, Any] | None:
    """{blocks, windows, smallest_contrast} of windows that are over with blocks missing; None where there are none.

    windows: {bucket, date, occasion, planned, missing}, blocks each; smallest_contrast: {planned, now}, percentage
    points, null for none. A sweep whose bucket is always open has none. table: all attempts, with is_final (trial_id,
    outcome and cause_class are enough). now: epoch seconds; in virtual time the end of the last attempt counts.
    """
    from raysweep import config
    from raysweep.record.reader import open_run, read_plan
    from raysweep.record.run_facts import read_facts
    from raysweep.stats.findings.balance import cells, cost, missed
    from raysweep.study.compose import calendar

    store = open_run(path)
    facts = read_facts(store)
    if facts.buckets == (ALWAYS,):
        return None
    sweep = config.parse(store.get("sweep.yaml").decode())
    if not find_kind(sweep.sandbox.kind).real and sweep.runner.executor == "inprocess":
        now = max(facts.created, _last(store))
    windows = calendar(sweep, facts.created)
    planned = read_plan(store, str(path), ["bucket", "date", "block_id", "trial_id", "task"])
    found = cells(table, planned)
    lacking = missed(found, lambda cell: windows.occasion(cell.bucket, cell.date).closes <= now)
    if not lacking:
        return None
    lost = sum(cell.missing for cell in lacking)
    price = cost(found, len(planned["task"].unique()), lost, sweep.analysis.confidence)
    return {
        "blocks": lost,
        "windows": [
            {
                "bucket": cell.bucket,
                "date": cell.date,
                "occasion": windows.occasion(cell.bucket, cell.date).label,
                "planned": cell.blocks,
                "missing": cell.missing,
            }
            for cell in lacking
        ],
        "smallest_contrast": {"planned": price.planned, "now": price.now},
    }


def _last(store: Store) -> float:
    import pyarrow.compute as pc

    from raysweep.record.reader import read_attempts

    last = pc.max(read_attempts(store, ["attempt_id", "t_stopped"])["t_stopped"]).as_py()
    return 0.0 if last is None else float(last.timestamp())
