"""Sweeps and tasks for the plan's tests."""

from typing import Any

import yaml

from raysweep.config import Sweep, parse
from raysweep.tasks.model import Task
from raysweep.units import MIB, Resources

SIX = ("00:00-04:00", "04:00-08:00", "08:00-12:00", "12:00-16:00", "16:00-20:00", "20:00-24:00")


def make_sweep(
    *, n_models: int = 2, n_bands: int = 3, n_buckets: int = 2, dates: int = 2, per_date: int = 1, **more: Any
) -> Sweep:
    """A sweep of the asked shape; `more` replaces whole sections."""
    data = {
        "name": "sample",
        "seed": 1,
        "tasks": {"source": "synthetic:9"},
        "models": [{"name": f"m{i}", "agent": "nop"} for i in range(n_models)],
        "bands": [{"name": f"{i + 1}x", "limit": i + 1} for i in range(n_bands)],
        "reference": "1x",
        "repeats": dates * per_date,
        "buckets": {"windows": {f"w{i}": SIX[i] for i in range(n_buckets)}, "dates": dates},
        "sandbox": {"kind": "simulated"},
        **more,
    }
    return parse(yaml.safe_dump(data, sort_keys=False))


def make_tasks(n: int) -> list[Task]:
    """Tasks with a spec of 1 cpu, 64 MiB and (every other one) 1 GiB of storage."""
    return [
        Task(
            f"task{i}", f"sha256:{i}", Resources(1000, 64 * MIB, 1024 * MIB if i % 2 else None), path=f"/t/{i}",
            agent_timeout_s=10, verifier_timeout_s=5, build_timeout_s=5,
        )
        for i in range(n)
    ]  # fmt: skip
