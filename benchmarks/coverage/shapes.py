"""Shapes of data that are not smooth: difficulty at both ends, effects in few tasks, arms that react to dates.

Belongs here: drawing them as arrays or cubes. Does not: what is asked of them (the modules of the groups).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.coverage.judge import Floats
from raysweep.stats import simulate
from raysweep.stats.cube import Cube

NEVER, ALWAYS = 0.30, 0.15
"""Shares of tasks that no arm ever solves, and that every arm always solves."""
BANDS = ("1x", "1.5x", "2x", "3x", "5x", "uncapped")


def difficulty(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """U-shaped: 30 % of tasks at 0, 15 % at 1, the rest beta(0.4, 0.4)."""
    kind, p = rng.random(shape), rng.beta(0.4, 0.4, shape)
    return np.where(kind < NEVER, 0.0, np.where(kind > 1 - ALWAYS, 1.0, p))


def blank(tasks: int, bands: int, dates: int, repeats: int) -> tuple[simulate.Truth, simulate.Outcomes, Cube]:
    """A study without outcomes: its truth, the places of its blocks, and its cube, to be filled."""
    arms = tuple(simulate.SimArm("m", b, 0.5) for b in BANDS[:bands])
    truth = simulate.Truth(arms=arms, tasks=tasks, repeats=repeats, dates=dates)
    places = simulate.draw(truth, np.random.default_rng(0))
    return truth, places, simulate.cube_of(truth, places)


def filled(cube: Cube, passed: Floats, died: Floats | None = None) -> Cube:
    """The cube with these outcomes, (n, A)."""
    return replace(cube, y=passed.astype(np.float64), q=(cube.q * 0 if died is None else died).astype(np.float64))
