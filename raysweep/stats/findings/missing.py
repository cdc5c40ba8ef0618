"""Trials without a result: how many in each arm, for what reason, and how far they can move its success.

Belongs here: counts by reason and bounds per arm. Does not: bounds of a contrast (findings.contrast).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.columns import flags
from raysweep.stats.cube import ArmKey, Cube, arm_codes
from raysweep.stats.endings import endings, outcomes
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.pair import within_unit
from raysweep.stats.findings.plain import plain

NOT_RUN = "not run"
_COLUMNS = ["_model", "band", "outcome", "cause", "cause_class", "reward"]


@dataclass(frozen=True, slots=True)
class Missing:
    """One arm with trials that lack a result. reasons: counts, largest first; trials: those of all started blocks.

    value: success of the others; low, high: with every missing trial at 0 and at 1, None where rewards leave 0..1.
    """

    arm: ArmKey
    reasons: Mapping[str, int]
    trials: int
    value: float | None
    low: float | None
    high: float | None

    @property
    def count(self) -> int:
        """Trials without a result."""
        return sum(self.reasons.values())


def missing(table: pa.Table, cube: Cube) -> tuple[Missing, ...]:
    """Arms with missing results, in column order (`table`: all attempts, labelled).

    The reason is the cause of an infrastructure death, else the outcome; "not run" where a started block has no
    attempt of the arm. Arms without any attempt are left out: they were not run at all.
    """
    lost = np.flatnonzero(flags(table["is_final"]) & np.isnan(endings(table).y))
    rows = table.select(_COLUMNS).take(pa.array(lost))
    reason, names = outcomes(rows)
    shape = (len(cube.arms), len(names))
    counts = np.bincount(arm_codes(rows, cube.arms) * len(names) + reason, minlength=shape[0] * shape[1])
    return tuple(_missing(cube, counts.reshape(shape), names))


def _missing(cube: Cube, counts: Ints, names: Sequence[str]) -> Iterator[Missing]:
    bounded = within_unit(cube.y)
    for column, arm in enumerate(cube.arms):
        rows = _blocks_of(cube, column)
        absent = int(np.sum(rows & ~cube.present[:, column]))
        counted = {names[code]: int(counts[column, code]) for code in np.flatnonzero(counts[column]).tolist()}
        if not rows.any() or not (counted or absent):
            continue
        counted |= {NOT_RUN: absent} if absent else {}
        reasons = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
        y = cube.y[:, column]
        ends = (np.where(np.isfinite(y), y, end) for end in (0.0, 1.0))
        low, high = (_success(cube, values, rows) if bounded else None for values in ends)
        yield Missing(arm, reasons, int(rows.sum()), _success(cube, y, rows), low, high)


def _blocks_of(cube: Cube, column: int) -> Bools:
    """Blocks in which an arm should have run: those of the runs in which it was tried at all."""
    rows = np.zeros(len(cube.task), dtype=bool)
    for run in range(max(1, len(cube.runs))):
        mine = cube.of_run(run)
        if cube.present[mine, column].any():
            rows |= mine
    return rows


def _success(cube: Cube, values: Floats, rows: Bools) -> float | None:
    means, counts = cube.task_means(values, rows)
    return float(np.mean(means[counts > 0])) if counts.any() else None


def missing_findings(arms: Sequence[Missing]) -> Iterator[Finding]:
    """Share missing by reason, and success with its bounds, per arm."""
    for m in arms:
        model, band = m.arm.model, m.arm.band
        for reason, n in m.reasons.items():
            yield plain("missing", model, band, Facet(FacetKind.REASON, reason), n / m.trials, n_attempts=m.trials)
        if m.low is not None and m.high is not None:
            method = "missing trials of started blocks counted 0 and 1; not a confidence interval"
            yield plain(
                "success_missing_bounds", model, band, Facet(FacetKind.BOUNDS), m.value, low=m.low, high=m.high,
                method=method, n_attempts=m.trials,
            )  # fmt: skip
