"""What the quickstart must show, read from its run directory; CI runs it after scripts/quickstart.

python tests/e2e/expect_quickstart.py RUN
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from raysweep.record.reader import read_ledger


def contrast(report: dict, model: str) -> dict:
    """The registered contrast of uncapped against 1x over all buckets."""
    found = [
        f
        for f in report["findings"]
        if f["estimand"] == "success"
        and f["model"] == model
        and f["arm"] == "uncapped"
        and f["reference"] == "1x"
        and f["bucket"] is None
        and f["resampled_over"] == "tasks"
    ]
    assert len(found) == 1, f"{model}: {len(found)} contrasts"
    return found[0]


def main() -> None:
    run = Path(sys.argv[1])
    rows = read_ledger(run).table.to_pylist()
    kills = Counter(
        (r["model"], r["band"]) for r in rows if r["is_final"] and r["cause"] in ("oom_limit", "oom_verifier")
    )
    report = json.loads((run / "report" / "report.json").read_text())
    heavy, lean = contrast(report, "heavy"), contrast(report, "lean")
    print("OOM deaths by model and band:", dict(kills))
    print(f"heavy uncapped - 1x: {heavy['value']} [{heavy['low']}, {heavy['high']}] {heavy['unit']}")
    print(f"lean  uncapped - 1x: {lean['value']} [{lean['low']}, {lean['high']}] {lean['unit']}")
    assert kills["heavy", "1x"] > 0, "1x shows real OOM kills"
    assert not any(n for (_, band), n in kills.items() if band == "uncapped"), "uncapped shows none"
    assert heavy["low"] > 0, "heavy: the interval excludes 0"
    assert lean["low"] <= 0 <= lean["high"], "lean: the interval holds 0"
    assert (run / "report" / "report.html").stat().st_size > 10_000
    print("the quickstart shows what it should")


if __name__ == "__main__":
    main()
