"""Group: intervals over dates (tasks fixed) and over tasks and dates together.

Truth: an arm's contrast is 3 points in the mean over tasks (sd 5 points between them) and shifts with the date by a
normal of 0 or 2 points; difficulty lies within 0.25..0.75, so that nothing is clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coverage import product, resample
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Floats, Target, covered, markdown, merged, percent
from benchmarks.coverage.sampled import cell_text

NAME = "dates"
TARGET = Target(0.935, 0.965)
AT_LEAST = Target(0.935)
"""The two-way variance is truncated below at that of the tasks and its df at that of the dates: it may be too wide."""
EFFECT, TASK_SD, DRAWS = 0.03, 0.05, 2000
DATES, BOTH = "raysweep, dates", "raysweep, tasks and dates"
METHODS = ("dates: percentile", "dates: expanded", "tasks only: t")


def draw(rng: np.random.Generator, studies: int, params: Params) -> tuple[Floats, Floats]:
    """Cells of the contrast (S, T, D) and the contrast of the drawn tasks themselves (S,)."""
    shape = (studies, params["T"])
    p = 0.25 + 0.5 * rng.random(shape)
    effect = EFFECT + TASK_SD * np.clip(rng.normal(0, 1, shape), -2.5, 2.5)
    moved = rng.normal(0, params["date_sd"] / 100, (studies, 1, params["D"]))
    reference = rng.binomial(params["n"], np.broadcast_to(p[..., None], (*shape, params["D"])))
    arm = rng.binomial(params["n"], p[..., None] + effect[..., None] + moved)
    return (arm - reference) / params["n"], effect.mean(axis=1)


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Coverage of both intervals, of whole dates resampled, and of t over tasks, which does not see dates."""
    parts: dict[str, list[Score]] = {}
    for n, rng in chunks(studies, sequence):
        cells, own = draw(rng, n, params)
        by_date = cells.mean(axis=1)
        dates, both = product.over_dates(cells, params["n"])
        wide = product.expanded_tail(params["D"])
        draws = np.sort(by_date @ resample.task_counts(rng, DRAWS, params["D"]).T / params["D"], axis=1)
        found: dict[str, tuple[resample.Pair, Floats | float]] = {
            DATES: (dates, own),
            METHODS[0]: ((resample.quantiles(draws, 0.025), resample.quantiles(draws, 0.975)), own),
            METHODS[1]: ((resample.quantiles(draws, wide), resample.quantiles(draws, 1 - wide)), own),
            BOTH: (both, EFFECT),
            METHODS[2]: (resample.paired_t(cells.mean(axis=2)), EFFECT),
        }
        for method, ((low, high), truth) in found.items():
            parts.setdefault(method, []).append(covered(low, high, truth))
    return {method: merged(p) for method, p in parts.items()}


def cells(form: str) -> list[Cell]:
    """T x D x date sd, 2 trials per task, arm and date."""
    grid = [(20, 3, 2), (89, 7, 2)]
    if form == "full":
        grid = [(t, d, sd) for sd in (0, 2) for t in (20, 89) for d in (3, 7, 14)]
    studies = 500 if form == "short" else 4000
    return [Cell(NAME, {"T": t, "D": d, "date_sd": sd, "n": 2}, studies, run) for t, d, sd in grid]


def target(method: str) -> Target:
    """What is promised."""
    return AT_LEAST if method == BOTH else TARGET


def verdict(result: dict[str, Any]) -> str:
    """Of both product methods."""
    words = {m: target(m).verdict(s["covered"], s["given"])
             for m in (DATES, BOTH) for s in [result["methods"][m]]}  # fmt: skip
    return "; ".join(f"{m.removeprefix('raysweep, ')} {w}" for m, w in words.items() if w != "holds") or "holds"


def table(results: list[dict[str, Any]]) -> str:
    """Coverage (mean width in points)."""
    rows = []
    for r in results:
        p, s = r["params"], r["methods"]
        first = [f"**{cell_text(s[DATES])}**", cell_text(s[METHODS[0]]), cell_text(s[METHODS[1]])]
        second = [f"**{cell_text(s[BOTH])}**", cell_text(s[METHODS[2]])]
        rows.append([p["date_sd"], p["T"], p["D"], *first, *second, verdict(r)])
    first = ["**dates**", "percentile", "expanded"]
    return markdown(["date sd", "T", "D", *first, "**tasks and dates**", "t over tasks", "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells of either product method outside the target."""
    return [
        f"{NAME} {r['params']} {m}: {percent(s['covered'], s['given'])} % is {word}"
        for r in results
        for m in (DATES, BOTH)
        for s in [r["methods"][m]]
        if (word := target(m).verdict(s["covered"], s["given"])) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
