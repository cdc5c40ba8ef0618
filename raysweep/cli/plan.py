"""`raysweep plan`: the design, what it costs and what it can show, before anything runs; writes plan.parquet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.cli.compose import load_study
from raysweep.cli.output import emit, say

if TYPE_CHECKING:
    from raysweep.cli.compose import Study
    from raysweep.plan.cost import Pilot
    from raysweep.plan.describe import Detectable


def plan_command(path: Path, out: Path, pilot: Path | None, *, as_json: bool) -> None:
    """Print the plan of a sweep and write it to `out`; InputError when the sweep (or the pilot's run) is not sound.

    pilot: a run directory whose mean durations stand for the coming trials.
    """
    import pyarrow.parquet as pq

    from raysweep.plan.cost import estimate
    from raysweep.plan.describe import describe
    from raysweep.plan.table import plan_table

    study = load_study(path)
    tasks = list(study.tasks.values())
    cost = estimate(study.plan, study.sweep, tasks, _pilot(pilot) if pilot else None)
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


def _pilot(path: Path) -> Pilot | None:
    """Mean seconds of a trial and of its agent in an earlier run; None where it holds no finished trial."""
    import pyarrow.compute as pc

    from raysweep.plan.cost import Pilot
    from raysweep.record.reader import read_ledger

    table = read_ledger(path).table
    table = table.filter(pc.is_valid(table["t_agent_end"]))
    if not len(table):
        return None
    spans = [
        pc.mean(pc.subtract(table[end].cast("int64"), table[begin].cast("int64"))).as_py() / 1e6
        for begin, end in (("t_created", "t_stopped"), ("t_agent_start", "t_agent_end"))
    ]
    return Pilot(*spans)


def _detectable(study: Study) -> Detectable | None:
    """The smallest contrast this plan can detect: the one place where plan and stats meet."""
    from raysweep.plan.describe import Detectable
    from raysweep.stats.methods.power import detectable_effect

    sweep = study.sweep
    found = detectable_effect(
        len(study.tasks), sweep.repeats, buckets=len(sweep.bucket_names), confidence=sweep.analysis.confidence
    )
    if found.effect is None:
        return None
    return Detectable(found.effect, f"{found.power:.0%} power, two-sided at {found.level:.0%}; {found.assumption}")
