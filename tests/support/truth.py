"""Ledgers of a stated truth: tables of the ledger's schema whose rates are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raysweep.record.schema import to_table
from raysweep.stats import Design

MIB = 1024**2
LIMITS: dict[str, int | None] = {"1x": 64 * MIB, "3x": 192 * MIB, "uncapped": None}


@dataclass(frozen=True)
class Truth:
    """success and infra per (model, band); each task's success is shifted by N(0, difficulty), clipped to [0, 1]."""

    success: dict[tuple[str, str], float]
    infra: dict[tuple[str, str], float] = field(default_factory=dict)
    tasks: int = 10
    repeats: int = 2
    buckets: tuple[str, ...] = ("all",)
    dates: tuple[str, ...] = ("2026-02-05",)
    difficulty: float = 0.0
    bucket_effect: dict[str, float] = field(default_factory=dict)
    date_sd: float = 0.0

    @property
    def arms(self) -> list[tuple[str, str]]:
        return list(self.success)

    def design(self, **more: Any) -> Design:
        models = tuple(dict.fromkeys(m for m, _ in self.arms))
        bands = tuple(dict.fromkeys(b for _, b in self.arms))
        given = {"reference": bands[0], "bands": bands, "models": models, "buckets": self.buckets, "seed": 7}
        return Design(**(given | more))


Edit = Callable[[dict[str, Any]], dict[str, Any] | None]


def rows(truth: Truth, seed: int = 1) -> list[dict[str, Any]]:
    """One final row per trial; repeats are spread over the dates in turn."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, truth.difficulty, truth.tasks) if truth.difficulty else np.zeros(truth.tasks)
    luck = {(b, d): rng.normal(0, truth.date_sd) if truth.date_sd else 0.0 for b in truth.buckets for d in truth.dates}
    made = []
    for t in range(truth.tasks):
        for bucket in truth.buckets:
            for k in range(truth.repeats):
                date = truth.dates[k % len(truth.dates)]
                block = f"b{t:03d}-{bucket}-{k}"
                for position, (model, band) in enumerate(truth.arms):
                    extra = shift[t] + truth.bucket_effect.get(bucket, 0.0) + luck[bucket, date]
                    p = min(1.0, max(0.0, truth.success[model, band] + extra))
                    dead = rng.random() < truth.infra.get((model, band), 0.0)
                    good = rng.random() < p
                    trial = f"{block}-{model}-{band}"
                    row: dict[str, Any] = {
                        "run_id": "run-truth", "plan_id": "p", "block_id": block, "trial_id": trial,
                        "attempt_id": f"{trial}-1", "attempt": 1, "block_run": 1, "position": position,
                        "task": f"task-{t:02d}", "model": model, "agent": "scripted", "band": band, "factors": {},
                        "repeat": k + 1, "bucket": bucket, "actual_bucket": bucket, "occasion": date,
                        "crossed_boundary": False, "limit_memory_asked": LIMITS.get(band),
                        "limit_memory_admitted": LIMITS.get(band),
                        "t_agent_start": 100.0, "t_agent_end": 101.5 + t / 10,
                        "oom_kills": int(dead), "throttled_us": 0, "mem_anon_peak_bytes": 30 * MIB,
                        "mem_peak_bytes": 40 * MIB, "cpu_peak_1s": 800.0, "timed_out": False, "phase": "verifier",
                        "enforcement": {"memory": "enforced", "cpu": "enforced", "pids": "enforced", "disk": "enospc"},
                    }  # fmt: skip
                    row |= infra("oom_limit", "resource") if dead else {"outcome": "scored", "reward": float(good)}
                    made.append(row)
    return made


def infra(cause: str, cause_class: str) -> dict[str, Any]:
    return {"outcome": "infra", "cause": cause, "cause_class": cause_class, "phase": "agent", "reward": None}


def table(made: list[dict[str, Any]]) -> pa.Table:
    """Rows as the reader gives them; a row may carry is_final (default True)."""
    final = [bool(r.get("is_final", True)) for r in made]
    plain = to_table([{k: v for k, v in r.items() if k != "is_final"} for r in made])
    return plain.append_column("is_final", pa.array(final, pa.bool_()))


PLAN_COLUMNS = ("plan_id", "block_id", "trial_id", "task", "model", "band", "bucket", "factors")


def planned(made: list[dict[str, Any]]) -> pa.Table:
    return to_table([{k: r[k] for k in PLAN_COLUMNS} for r in made]).select(list(PLAN_COLUMNS))


QUICKSTART = Truth(
    success={
        ("lean", "1x"): 0.9, ("lean", "3x"): 0.9, ("lean", "uncapped"): 0.9,
        ("heavy", "1x"): 0.9, ("heavy", "3x"): 0.95, ("heavy", "uncapped"): 0.97,
    },
    infra={("heavy", "1x"): 0.9, ("heavy", "3x"): 0.5},
    buckets=("night", "day"),
    dates=("2026-02-05 c1", "2026-02-05 c2"),
)  # fmt: skip
