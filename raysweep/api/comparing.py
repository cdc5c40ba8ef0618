"""Conclusions from runs: is one better, and may limits be raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raysweep.api.values import Run
from raysweep.errors import IncompleteError

if TYPE_CHECKING:
    from raysweep.stats.calibrate import Calibration
    from raysweep.stats.compare import Comparison


def compare(
    a: Run, b: Run | None = None, *, models: tuple[str, str] | None = None, assume_comparable: Sequence[str] = ()
) -> Comparison:
    """Whether A is better than B beyond sampling and infrastructure noise.

    Args:
        a: a run.
        b: another run; left out: two models of `a`.
        models: the model of each side, where it is not clear which is meant.
        assume_comparable: fields of the methodology to take as alike.

    Returns:
        A frozen `Comparison`: `claim`, `delta` (a Finding), `per_band`, `pairs`, `spreads`, and `notes`: what was
        assumed of the methodology, and differences that refuse nothing.

    Raises:
        InputError: the two were not measured alike, or it is not clear what to compare.
        IncompleteError: a ledger is empty.

    """
    from raysweep.study.compare import CompareOptions, compare_runs

    paths = [run._path for run in ((a,) if b is None else (a, b))]  # noqa: SLF001 - of this package
    made = compare_runs(paths, models, CompareOptions(assumed=tuple(assume_comparable)))
    return replace(made.comparison, notes=made.notes)


def calibrate(
    runs: Sequence[Run],
    *,
    floor: str | None = None,
    delta: float | None = None,
    assume_comparable: Sequence[str] = (),
) -> Calibration:
    """How far limits may be raised without changing the benchmark.

    Args:
        runs: one run, or several with the same design.
        floor: the band to start from; the reference where it is left out.
        delta: the largest difference that counts as none, a fraction (0.02 is two points); the registered one where it
            is left out.
        assume_comparable: fields of the methodology to take as alike in several runs.

    Returns:
        A frozen `Calibration`: `status`, `recommended`, `ladders`, `declared`, `kill_curve`, `proposals`, and `notes`:
        which runs were merged, what was left out and what was assumed.

    Raises:
        InputError: the runs' designs differ, they were not measured alike, or the floor is no band.
        IncompleteError: there is no run, or a ledger is empty.

    """
    from raysweep.study.calibrate import calibrate_data, calibration_data

    if not runs:
        raise IncompleteError("no run to calibrate; give one at least")
    data = calibration_data([run._path for run in runs], tuple(assume_comparable))  # noqa: SLF001 - of this package
    return replace(calibrate_data(data, floor=floor, delta=delta), notes=data.notes)
