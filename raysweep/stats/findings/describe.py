"""Description without intervals: composition of outcomes, values per task and occasion, durations and resources.

Every number is a Finding too (`factor` tells what it belongs to), so that pictures and JSON show the very same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Finding
from raysweep.stats.findings.contrast import pair

SCORED = ("pass", "partial", "fail")


def describe(table: pa.Table, cube: Cube, design: Design) -> tuple[Finding, ...]:
    """All descriptive findings of a ledger (`table`: all attempts, labelled)."""
    final = table.filter(table["is_final"])
    return (
        *composition(final, cube),
        *task_cells(cube),
        *task_contrasts(cube, design),
        *occasion_points(cube),
        *resources(final, cube),
    )


def plain(
    estimand: str, model: str | None, arm: str | None, factor: str | None, value: float | None, **more: object
) -> Finding:
    """A Finding without an interval; `more`: unit, method, bucket, reference, n_tasks, n_attempts, n_dates."""
    fields: dict[str, object] = {"unit": "fraction", "method": "description", "bucket": None, "reference": None}
    fields |= {"n_tasks": 0, "n_attempts": 0, "n_dates": 0, "level": None, "resampled_over": ""}
    given = {
        "estimand": estimand,
        "model": model,
        "arm": arm,
        "factor": factor,
        "value": value,
        "low": None,
        "high": None,
    }
    return Finding(**(fields | given | more))  # type: ignore[arg-type]


def outcome_labels(final: pa.Table) -> pa.ChunkedArray:
    """What a trial ended as: pass, partial or fail when scored; the cause of infra; else the outcome."""
    reward = final["reward"]
    scored = pc.if_else(
        pc.greater_equal(reward, 1.0), "pass", pc.if_else(pc.less_equal(reward, 0.0), "fail", "partial")
    )
    scored = pc.fill_null(scored, fill_value="no reward")
    cause = pc.if_else(pc.equal(final["outcome"], "infra"), pc.fill_null(final["cause"], "infra"), final["outcome"])
    return pc.fill_null(pc.if_else(pc.equal(final["outcome"], "scored"), scored, cause), fill_value="unknown")


def composition(final: pa.Table, cube: Cube) -> Iterator[Finding]:
    """Share of final attempts per outcome and arm; the order is pass, partial, fail, then the others by name."""
    labelled = pa.table({"model": final["_model"], "band": final["band"], "outcome": outcome_labels(final)})
    rows = labelled.group_by(["model", "band", "outcome"]).aggregate([("outcome", "count")]).to_pylist()
    counts = {(r["model"], r["band"], r["outcome"]): int(r["outcome_count"]) for r in rows}
    others = sorted({r["outcome"] for r in rows} - set(SCORED))
    for arm in cube.arms:
        total = sum(n for (m, b, _), n in counts.items() if (m, b) == (arm.model, arm.band))
        for outcome in (*SCORED, *others):
            n = counts.get((arm.model, arm.band, outcome), 0)
            if n:
                yield plain("composition", arm.model, arm.band, f"outcome={outcome}", n / total, n_attempts=total)


def task_cells(cube: Cube) -> Iterator[Finding]:
    """Mean y of each task in each arm."""
    everything = cube.in_bucket(None)
    for column, arm in enumerate(cube.arms):
        means, counts = cube.task_means(cube.y[:, column], everything)
        for task, mean, n in zip(cube.tasks, means, counts, strict=True):
            value = float(mean) if n else None
            yield plain("success", arm.model, arm.band, f"task={task}", value, n_tasks=1, n_attempts=int(n))


def task_contrasts(cube: Cube, design: Design) -> Iterator[Finding]:
    """Success contrast of each task with a complete block, in points."""
    for column, arm in enumerate(cube.arms):
        if arm.band == design.reference or design.reference not in cube.bands(arm.model):
            continue
        p = pair(cube, cube.y, column, cube.column(arm.model, design.reference), cube.in_bucket(None))
        means, counts = cube.task_means(p.difference, p.complete)
        for task, mean, n in zip(cube.tasks, means, counts, strict=True):
            if n:
                yield plain(
                    "success", arm.model, arm.band, f"task={task}", 100 * float(mean), unit="points",
                    reference=design.reference, n_tasks=1, n_attempts=2 * int(n),
                )  # fmt: skip


def occasion_points(cube: Cube) -> Iterator[Finding]:
    """Mean y per model and occasion over blocks complete in all of the model's arms with data, tasks equal."""
    for model in cube.models:
        columns = [i for i, a in enumerate(cube.arms) if a.model == model and np.isfinite(cube.y[:, i]).any()]
        if not columns:
            continue
        block = cube.y[:, columns].mean(axis=1)
        for bucket in cube.buckets:
            for code, date in enumerate(cube.dates):
                means, counts = cube.task_means(block, cube.in_bucket(bucket) & (cube.date == code))
                if counts.any():
                    yield plain(
                        "success", model, None, f"date={date}", float(means[counts > 0].mean()), bucket=bucket,
                        n_tasks=int(np.sum(counts > 0)), n_attempts=int(counts.sum()) * len(columns), n_dates=1,
                    )  # fmt: skip


def resources(final: pa.Table, cube: Cube) -> Iterator[Finding]:
    """Medians of duration, memory and cpu, shares throttled and timed out, money; per arm, where known."""
    seconds = pc.divide(pc.cast(pc.subtract(final["t_agent_end"], final["t_agent_start"]), pa.int64()), 1e6)
    columns = {
        "agent_seconds": ("seconds", seconds),
        "mem_anon_peak": ("bytes", final["mem_anon_peak_bytes"]),
        "mem_peak": ("bytes", final["mem_peak_bytes"]),
        "cpu_peak_1s": ("millicores", final["cpu_peak_1s"]),
        "throttled_share": ("fraction", pc.cast(pc.greater(final["throttled_us"], 0), pa.float64())),
        "timed_out_share": ("fraction", pc.cast(final["timed_out"], pa.float64())),
        "oom_kills_share": ("fraction", pc.cast(pc.greater(final["oom_kills"], 0), pa.float64())),
        "cost_usd": ("usd", final["cost_usd"]),
    }
    for arm in cube.arms:
        mine = pc.and_(pc.equal(final["_model"], arm.model), pc.equal(final["band"], arm.band))
        for name, (unit, column) in columns.items():
            known = pc.drop_null(column.filter(mine))
            if len(known):
                value = pc.mean(known) if unit == "fraction" else pc.quantile(known, 0.5)[0]
                how = "mean" if unit == "fraction" else "median"
                text = f"{how} over final attempts where known"
                yield plain(
                    name, arm.model, arm.band, None, float(value.as_py()), unit=unit, method=text, n_attempts=len(known)
                )
