"""`raysweep plan`: the design, what it costs and what it can show, before anything runs; writes plan.parquet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.cli.compose import load_study
from raysweep.cli.output import emit, say

if TYPE_CHECKING:
    from raysweep.cli.compose import Study
    from raysweep.plan.describe import Detectable


def plan_command(path: Path, out: Path, *, as_json: bool) -> None:
    """Print the plan of a sweep and write it to `out`; InputError when the sweep is not sound."""
    import pyarrow.parquet as pq

    from raysweep.plan.cost import estimate
    from raysweep.plan.describe import describe
    from raysweep.plan.table import plan_table

    study = load_study(path)
    tasks = list(study.tasks.values())
    cost = estimate(study.plan, study.sweep, tasks)
    smallest = _detectable(study)
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(plan_table(study.plan, study.sweep, tasks), out, compression="zstd")
    if as_json:
        emit(
            {
                "plan_id": study.plan.plan_id,
                "trials": study.plan.trials,
                "blocks": len(study.plan.blocks),
                "cost": asdict(cost),
                "detectable": asdict(smallest) if smallest else None,
                "plan": str(out),
            }
        )
        return
    for line in describe(study.plan, study.sweep, cost, smallest):
        say(line)
    say(f"plan: {out}")


def _detectable(study: Study) -> Detectable | None:
    """The smallest contrast this plan can detect: the one place where plan and stats meet."""
    from raysweep.plan.describe import Detectable
    from raysweep.stats.power import detectable_effect

    sweep = study.sweep
    found = detectable_effect(
        len(study.tasks), sweep.repeats, buckets=len(sweep.bucket_names), confidence=sweep.analysis.confidence
    )
    if found.effect is None:
        return None
    return Detectable(found.effect, f"{found.power:.0%} power, two-sided at {found.level:.0%}; {found.assumption}")
