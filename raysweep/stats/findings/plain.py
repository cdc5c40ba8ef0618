"""The Finding of a plain value: a description, without an interval."""

from __future__ import annotations

from typing import Any

from raysweep.stats.facet import Facet
from raysweep.stats.finding import Finding


def plain(
    estimand: str, model: str | None, arm: str | None, facet: Facet | None, value: float | None, **more: object
) -> Finding:
    """A Finding without an interval; `more`: any other of its fields."""
    fields: dict[str, Any] = {
        "bucket": None, "reference": None, "low": None, "high": None, "level": None,
        "method": "description", "resampled_over": "", "n_tasks": 0, "n_attempts": 0, "n_dates": 0,
    }  # fmt: skip
    return Finding(estimand=estimand, model=model, arm=arm, facet=facet, value=value, **(fields | more))
