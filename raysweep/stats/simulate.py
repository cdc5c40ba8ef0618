"""Ledgers of a stated truth, made by the thousand: what the reducer's own checks (tests, benchmarks) are run on.

Belongs here: drawing outcomes whose expectations are known exactly, and giving them as a cube or as a ledger's tables.
Does not: running anything; the simulated sandbox is `raysweep.sandbox.simulated`.

A task's success p_t is beta(concentration x rate); an effect e (of band, bucket, date or occasion) moves it by
e (1 - p_t) / (1 - p) where e > 0 and by e p_t / p where e < 0, so that the mean over tasks moves by exactly e and no
p_t leaves 0..1. Infrastructure takes its share q (1 - p_t) / (1 - p) from the failures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from raysweep.record.schema import arrow_schema
from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.cube import ArmKey, Cube
from raysweep.stats.design import Design

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class SimArm:
    """One arm: success and q_trial in expectation over tasks, and the memory limit as a multiplier (None: uncapped)."""

    model: str
    band: str
    success: float
    infra: float = 0.0
    limit: float | None = None


@dataclass(frozen=True)
class Truth:
    """A study: T tasks x arms x buckets x dates x repeats per occasion, and what moves its outcomes.

    arms: the first band is the reference. rate, concentration: of the beta of task difficulty (concentration inf: all
    tasks alike). bucket_effects: (B,) fractions, added to every arm. date_sd, occasion_sd: fractions, normal.
    repeats: blocks per task and occasion.
    """

    arms: tuple[SimArm, ...]
    tasks: int = 89
    repeats: int = 3
    buckets: tuple[str, ...] = ("all",)
    dates: int = 1
    concentration: float = 2.0
    bucket_effects: tuple[float, ...] = ()
    date_sd: float = 0.0
    occasion_sd: float = 0.0
    memory_mib: int = 64
    names: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def task_names(self) -> tuple[str, ...]:
        """Names in ascending order."""
        return self.names or tuple(f"task-{t:03d}" for t in range(self.tasks))

    @cached_property
    def date_labels(self) -> tuple[str, ...]:
        """Consecutive days from 2026-02-02, a Monday."""
        first = np.datetime64("2026-02-02")
        return tuple(str(first + np.timedelta64(d, "D")) for d in range(self.dates))

    def design(self, **more: Any) -> Design:
        """The Design of a sweep that would give this ledger; `more` overrides its fields."""
        given: dict[str, Any] = {
            "reference": self.arms[0].band,
            "bands": tuple(dict.fromkeys(a.band for a in self.arms)),
            "models": tuple(dict.fromkeys(a.model for a in self.arms)),
            "buckets": self.buckets,
            "seed": 20260205,
        }
        return Design(**(given | more))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Drawn trials, one row per block (n), one column per arm (A): passed, died of infrastructure; codes (n,)."""

    passed: Bools
    died: Bools
    task: Ints
    bucket: Ints
    date: Ints
    repeat: Ints


def shift(p: Floats, mean: float, effect: Floats | float) -> Floats:
    """Probabilities moved so that their mean moves from `mean` by `effect`, within 0..1."""
    up, down = (1 - p) / max(1e-12, 1 - mean), p / max(1e-12, mean)
    effect = np.asarray(effect, dtype=np.float64)
    return np.asarray(np.clip(p + np.where(effect > 0, effect * up, effect * down), 0.0, 1.0))


def draw(truth: Truth, rng: np.random.Generator) -> Outcomes:
    """One study."""
    t, b, d, k = (len(truth.task_names), len(truth.buckets), truth.dates, truth.repeats)
    task, bucket, date, repeat = (
        np.ascontiguousarray(x.ravel())
        for x in np.meshgrid(np.arange(t), np.arange(b), np.arange(d), np.arange(k), indexing="ij")
    )
    base = truth.arms[0].success
    if math.isinf(truth.concentration):
        difficulty = np.full(t, base)
    else:
        difficulty = rng.beta(base * truth.concentration, (1 - base) * truth.concentration, t)
    effects = np.asarray(truth.bucket_effects or (0.0,) * b)[:, None] + rng.normal(0, 1, d) * truth.date_sd
    effects = effects + rng.normal(0, 1, (b, d)) * truth.occasion_sd
    passed, died = (np.zeros((len(task), len(truth.arms)), dtype=bool) for _ in range(2))
    for column, arm in enumerate(truth.arms):
        p = shift(difficulty, base, arm.success - base)[task]
        p = shift(p, arm.success, effects[bucket, date])
        q = arm.infra * (1 - p) / max(1e-12, 1 - arm.success)
        u = rng.random(len(task))
        passed[:, column] = u < p
        died[:, column] = u > 1 - q
    return Outcomes(passed, died, task, bucket, date, repeat)


def cube_of(truth: Truth, o: Outcomes) -> Cube:
    """The cube that the ledger of these outcomes has."""
    shape = o.passed.shape
    return Cube(
        arms=tuple(ArmKey(a.model, a.band) for a in truth.arms),
        tasks=truth.task_names,
        buckets=truth.buckets,
        dates=truth.date_labels,
        y=o.passed.astype(np.float64),
        q=o.died.astype(np.float64),
        present=np.ones(shape, dtype=bool),
        first_platform=np.zeros(shape, dtype=bool),
        task=o.task,
        bucket=o.bucket,
        date=o.date,
        blocks=tuple(map(str, range(shape[0]))),
        not_started=0,
    )


def tables_of(
    truth: Truth, o: Outcomes, rng: np.random.Generator, run_id: str = "run-truth"
) -> tuple[pa.Table, pa.Table]:
    """(attempts with is_final, planned) as `record.reader` gives them; peaks of memory and cpu are drawn too."""
    n, arms = o.passed.shape
    rows = n * arms
    block = np.repeat(np.arange(n), arms)
    arm = np.tile(np.arange(arms), n)
    passed, died = o.passed.ravel(), o.died.ravel()
    spec = truth.memory_mib * MIB
    limits = np.array([np.nan if a.limit is None else a.limit for a in truth.arms])[arm]
    measured, seconds = _measured(spec, limits, died, rng)
    ending = np.where(died, np.where(np.isfinite(limits), 1, 2), 0)  # what has no limit cannot die of it
    start = (o.date[block] * 86400.0 + (o.bucket[block] + 0.1) * 86400.0 / len(truth.buckets)) * 1e6
    begin = (np.datetime64("2026-02-02", "us").astype(np.int64) + start).astype(np.int64)
    given: dict[str, Any] = {
        "run_id": _same(run_id, rows),
        "plan_id": _same("plan-truth", rows),
        "block_id": _labels([f"b{i:07d}" for i in range(n)], block),
        "trial_id": _labels([f"t{i:08d}" for i in range(rows)], np.arange(rows)),
        "attempt_id": _labels([f"t{i:08d}-1" for i in range(rows)], np.arange(rows)),
        "attempt": np.ones(rows, np.int64),
        "block_run": np.ones(rows, np.int64),
        "position": arm,
        "task": _labels(truth.task_names, o.task[block]),
        "model": _labels([a.model for a in truth.arms], arm),
        "agent": _same("scripted", rows),
        "band": _labels([a.band for a in truth.arms], arm),
        "repeat": (o.date * truth.repeats + o.repeat + 1)[block],
        "bucket": _labels(truth.buckets, o.bucket[block]),
        "actual_bucket": _labels(truth.buckets, o.bucket[block]),
        "occasion": _labels(truth.date_labels, o.date[block]),
        "actual_occasion": _labels(truth.date_labels, o.date[block]),
        "crossed_boundary": np.zeros(rows, dtype=bool),
        "outcome": _labels(["scored", "infra"], died.astype(np.int64)),
        "cause": _labels([None, "oom_limit", "oom_node"], ending),
        "cause_class": _labels([None, "resource"], died.astype(np.int64)),
        "phase": _labels(["verifier", "agent"], died.astype(np.int64)),
        "reward": pa.array(np.where(died, 0.0, passed), mask=died),
        "oom_kills": died.astype(np.int64),
        "throttled_us": np.zeros(rows, np.int64),
        "timed_out": np.zeros(rows, dtype=bool),
        "t_agent_start": begin,
        "t_agent_end": begin + (seconds * 1e6).astype(np.int64),
        "seed": np.zeros(rows, np.int64),
        "schema_version": np.ones(rows, np.int64),
    }
    for side, mult in (("request", np.ones(rows)), ("limit", limits)):
        given |= _bounds(side, "memory", mult, spec) | _bounds(side, "cpu", mult, 1000)
    given |= measured
    schema = arrow_schema()
    columns = [_column(given.get(f.name), f.type, rows) for f in schema]
    table = pa.Table.from_arrays(columns, schema=schema)
    planned = table.select(
        ["plan_id", "block_id", "trial_id", "task", "model", "band", "bucket", "occasion", "factors", "repeat"]
    )
    return table.append_column("is_final", pa.array(np.ones(rows, dtype=bool))), planned


def _measured(spec: int, limits: Floats, died: Bools, rng: np.random.Generator) -> tuple[dict[str, Any], Floats]:
    """Columns of peaks, and seconds of the agent; whoever died had its limit full, nobody else reached it."""
    rows = len(died)
    need = spec * np.exp(rng.normal(-0.5, 0.4, rows))
    seconds = 20 * np.exp(rng.normal(0, 0.5, rows))
    bound = spec * np.nan_to_num(limits, nan=np.inf)
    full = died & np.isfinite(bound)
    peak = np.where(full, np.nan_to_num(bound, posinf=0.0), np.minimum(need, 0.97 * bound))
    columns = {
        "mem_anon_peak_bytes": peak.astype(np.int64),
        "mem_peak_bytes": (peak * 1.2).astype(np.int64),
        "cpu_peak_1s": 600 * np.exp(rng.normal(0, 0.3, rows)),
        "cpu_peak_10s": 450 * np.exp(rng.normal(0, 0.3, rows)),
    }
    return columns, seconds


def _bounds(side: str, resource: str, mult: Floats, spec: int) -> dict[str, pa.Array]:
    none = ~np.isfinite(mult)
    value = pa.array((np.nan_to_num(mult) * spec).astype(np.int64), mask=none)
    name = f"{side}_{resource}"
    return {f"{name}_mult": pa.array(mult, mask=none)} | {
        f"{name}_{stage}": value for stage in ("asked", "admitted", "actual")
    }


def _labels(names: Sequence[str | None], codes: Ints) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes))


def _same(text: str, rows: int) -> pa.Array:
    return _labels([text], np.zeros(rows, dtype=np.int64))


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    return (values if isinstance(values, pa.Array) else pa.array(values)).cast(kind)


STUDY = Truth(
    arms=(
        SimArm("m", "1x", 0.45, 0.058, 1.0),
        SimArm("m", "1.5x", 0.45, 0.045, 1.5),
        SimArm("m", "2x", 0.45, 0.033, 2.0),
        SimArm("m", "3x", 0.45, 0.021, 3.0),
        SimArm("m", "5x", 0.48, 0.012, 5.0),
        SimArm("m", "uncapped", 0.51, 0.005, None),
    ),
    repeats=120,
)
"""The shape of the published study on Terminal-Bench 2.0: six bands, 89 tasks; the level of success is ours."""
