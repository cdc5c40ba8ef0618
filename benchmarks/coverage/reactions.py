"""Group: arms that react differently to dates. TOST of calibrate at its margin, and the registered stop without effect.

Arm-by-date effects are normal with sd 0 to 2 points, difficulty is U-shaped (`shapes`). "TOST": the true difference is
delta, so that at most 5 % may pass. "stop": no true difference, three looks over six dates; at most 5 % may end with a
difference. "before": the intervals of both as they were until schema version 2, blind to dates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.coverage import shapes
from benchmarks.coverage.cell import Cell, Group, Params, Score
from benchmarks.coverage.judge import Floats, Target, markdown, percent
from raysweep.stats.cube import Cube
from raysweep.stats.findings.ceiling import CeilingRule, look, moments
from raysweep.stats.findings.pair import pair
from raysweep.stats.findings.sample import ContrastSample, sample
from raysweep.stats.methods.calibration import difference_interval
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.sequential import boundaries, look_dates, obrien_fleming, rising

NAME = "arm-dates"
TARGET = Target(0.0, 0.06)
DELTA, TASKS, LOOKS = 0.02, 89, 3
RULE = CeilingRule("1x", ("1.5x",), DELTA, None, 0.05, {})


def outcomes(rng: np.random.Generator, places: Any, dates: int, sd: float, effect: float) -> Floats:
    """Two arms, (n, 2): the second moved by effect (+ its own luck of the date), within 0.05..0.95 of difficulty.

    Tasks at 0 or 1 do not move; the others share the whole effect, so that the mean over tasks moves by it.
    """
    p = shapes.difficulty(rng, (TASKS,))
    inner = (p > 0.2) & (p < 0.8)
    moved = effect + rng.normal(0, sd, dates)
    room = np.where(inner, TASKS / max(1, inner.sum()), 0.0)
    arm = np.clip(p[places.task] + moved[places.date] * room[places.task], 0.0, 1.0)
    return rng.random((len(places.task), 2)) < np.stack([p[places.task], arm], axis=1)


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """False passes or stops, of `studies`."""
    rng, tost = np.random.default_rng(sequence), params["rule"] == "TOST"
    dates = params["D"]
    _, places, blank = shapes.blank(TASKS, 2, dates, params["K"] // dates)
    before = now = 0
    for _ in range(studies):
        y = outcomes(rng, places, dates, params["sd"] / 100, DELTA if tost else 0.0)
        judged = _tost if tost else _stop
        old, new = judged(shapes.filled(blank, y))
        before, now = before + old, now + new
    return {"before": {"studies": studies, "erred": before}, "now": {"studies": studies, "erred": now}}


def _tost(cube: Cube) -> tuple[bool, bool]:
    m = moments(pair(cube, cube.y, 1, 0, cube.in_bucket(None)))
    old = difference_interval(m, 0.9)
    new = look(cube, "m", "1.5x", RULE, Draws(1, 200, 0.9), {("m", "1.5x"): (0, 1)}).difference
    ends = [(old.low, old.high), tuple(None if x is None else x / 100 for x in (new.low, new.high))]
    first, second = (low is not None and high is not None and max(-low, high) <= DELTA for low, high in ends)
    return first, second


def _stop(cube: Cube) -> tuple[bool, bool]:
    dates = len(cube.dates)
    after = look_dates(dates, LOOKS)
    samples = [sample(cube, cube.date < n, "success", "m", ("1.5x", "1x")) for n in after]
    return _ends([replace(s, over_dates=None) for s in samples], after), _ends(samples, after)


def _ends(samples: list[ContrastSample], after: tuple[int, ...]) -> bool:
    bounds = boundaries(rising([1 / s.se**2 for s in samples]), [obrien_fleming(n / after[-1], 0.05) for n in after])
    found = [s.interval(b) for s, b in zip(samples, bounds, strict=True)]
    return any(i is not None and (i[0] > 0 or i[1] < 0) for i in found)


def cells(form: str) -> list[Cell]:
    """Both rules at each sd; TOST with enough repeats to pass."""
    studies = 100 if form == "short" else 1000
    sizes = [
        {"rule": rule, "sd": sd, "D": dates, "K": k}
        for rule, dates, k in (("TOST", 3, 120), ("TOST", 6, 120), ("stop", 6, 30))
        for sd in (0, 0.5, 1, 2)
    ]
    return [Cell(NAME, size, studies, run) for size in (sizes[3:4] if form == "short" else sizes)]


def table(results: list[dict[str, Any]]) -> str:
    """Share of studies in which the rule errs."""
    rows = []
    for r in results:
        old, new = r["methods"]["before"], r["methods"]["now"]
        p, word = r["params"], TARGET.verdict(new["erred"], new["studies"])
        rows.append([p["rule"], p["D"], p["sd"], *(percent(s["erred"], s["studies"]) for s in (old, new)), word])
    return markdown(["rule", "D", "arm-by-date sd, points", "before, %", "**now, %**", "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells in which the rule errs too often."""
    return [
        f"{NAME} {r['params']}: {percent(s['erred'], s['studies'])} %"
        for r in results
        for s in [r["methods"]["now"]]
        if TARGET.verdict(s["erred"], s["studies"]) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
