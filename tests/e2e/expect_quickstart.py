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
        and f["facet"] is None
        and f["resampled_over"] == "tasks"
    ]
    assert len(found) == 1, f"{model}: {len(found)} contrasts"
    return found[0]


def expect_probes(probes: list[dict]) -> None:
    """Every finite limit killed what was past it and nothing below, uncapped held more, no cpu beyond its limit."""
    by_band: dict[str, list[dict]] = {}
    for probe in probes:
        assert probe["platform"] is None, f"a probe failed: {probe['platform']}, {probe['detail']}"
        by_band.setdefault(probe["band"], []).append(probe)
    assert set(by_band) == {"1x", "3x", "uncapped"}
    assert {(p["bucket"], p["occasion"]) for p in by_band["1x"]} >= {
        (bucket, f"cycle {n}") for bucket in ("first", "second") for n in (1, 2)
    }, "every occasion was probed"
    for band, found in by_band.items():
        killed = sum(p["own_limit"] is True for p in found)
        shares = [1000 * p["cpu_used_s"] / p["cpu_wall_s"] / p["limit_cpu_asked"] for p in found if p["cpu_used_s"]]
        most = f"{max(shares):.2f}" if shares else "none"
        print(f"probes of {band}: {len(found)}, killed by the limit {killed}, largest share of the cpu limit {most}")
        assert all(p["held"] for p in found), f"{band}: below its limit nothing is killed"
        if band == "uncapped":
            assert not any(p["killed"] for p in found)
        else:
            assert killed == len(found), f"{band}: past its limit every probe is killed by it"
            assert 0.5 < max(shares) <= 1.15, f"{band}: cpu near its limit"


def main() -> None:
    run = Path(sys.argv[1])
    view = read_ledger(run)
    rows = view.table.to_pylist()
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
    expect_probes(view.probes.to_pylist())
    assert any(c["code"] == "probes" and c["status"] == "ok" for c in report["checks"]), "enforcement is told"
    assert (run / "report" / "report.html").stat().st_size > 10_000
    print("the quickstart shows what it should")


if __name__ == "__main__":
    main()
