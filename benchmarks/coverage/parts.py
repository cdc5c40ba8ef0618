"""Group: what other successes gave when rescued trials all fail or all succeed: the truth is an end of the bounds.

89 tasks, U-shaped difficulty (`shapes`), deaths 5.8 to 0.5 %, other successes 3 points in the mean. "before": the
bounds at the point estimates, as the sentence gave them; "now": their confidence interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coverage import shapes
from benchmarks.coverage.cell import Cell, Group, Params, Score
from benchmarks.coverage.judge import Floats, Target, markdown, percent
from raysweep.stats.facet import FacetKind
from raysweep.stats.findings.decompose import decompose
from raysweep.stats.methods.interval import Draws

NAME = "bounds"
TARGET = Target(0.93)
TASKS, BEFORE, AFTER, EFFECT = 89, 0.058, 0.005, 0.03


def probabilities(p: Floats, rescued: float) -> tuple[Floats, Floats, Floats]:
    """Success (T, 2) and deaths (T, 2) of both arms by task, and what other successes give (T,)."""
    q = np.stack([np.full_like(p, BEFORE), np.full_like(p, AFTER)], axis=1)
    living = 1 - BEFORE
    other = np.where((p > 0) & (p < 1), np.minimum(1 - p, EFFECT / 0.55), 0.0) * living
    reference = p * living
    arm = reference + rescued * (BEFORE - AFTER) + other
    return np.stack([reference, np.minimum(arm, 1 - AFTER)], axis=1), q, other


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Whether the mean over such tasks lies inside."""
    rng = np.random.default_rng(sequence)
    truth, places, blank = shapes.blank(TASKS, 2, 1, params["K"])
    design, how = truth.design(), Draws(seed=1, replicates=2000, level=0.95)
    target = 100 * float(probabilities(shapes.difficulty(rng, (1_000_000,)), params["rescued"])[2].mean())
    before = now = 0
    for _ in range(studies):
        y, q, _ = probabilities(shapes.difficulty(rng, (TASKS,)), params["rescued"])
        u = rng.random(places.passed.shape)
        cube = shapes.filled(blank, u < y[places.task], u > 1 - q[places.task])
        found = [f for f in decompose(cube, design, how) if f.estimand == "other_successes"]
        for f in found:
            inside = f.low is not None and f.high is not None and f.low <= target <= f.high
            before, now = before + (inside and f.facet is None), now + (inside and f.is_of(FacetKind.BOUNDS))
    return {"before": {"studies": studies, "covered": before}, "now": {"studies": studies, "covered": now}}


def cells(form: str) -> list[Cell]:
    """Few and many repeats, both ends."""
    studies = 60 if form == "short" else 1000
    sizes = [{"K": k, "rescued": r} for k in (5, 30) for r in (0, 1)]
    return [Cell(NAME, size, studies, run) for size in (sizes[:1] if form == "short" else sizes)]


def table(results: list[dict[str, Any]]) -> str:
    """Coverage of other successes."""
    rows = []
    for r in results:
        old, new = r["methods"]["before"], r["methods"]["now"]
        word = TARGET.verdict(new["covered"], new["studies"])
        shares = [percent(s["covered"], s["studies"]) for s in (old, new)]
        rows.append([r["params"]["K"], "succeed" if r["params"]["rescued"] else "fail", *shares, word])
    return markdown(["K", "rescued trials", "before, %", "**now, %**", "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells that cover too little."""
    return [
        f"{NAME} {r['params']}: {percent(s['covered'], s['studies'])} %"
        for r in results
        for s in [r["methods"]["now"]]
        if TARGET.verdict(s["covered"], s["studies"]) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
