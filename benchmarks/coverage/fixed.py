"""Group: dense contrasts, tasks fixed. The truth is the drawn tasks' own contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coverage import data, product, resample
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Target, covered, markdown, merged, percent
from benchmarks.coverage.sampled import DEFAULT, cell_text

NAME = "tasks-fixed"
TARGET = Target(0.935, 0.965)
DRAWS = 4000
METHODS = ("K-1 of K blocks", "naive blocks", "tasks resampled")


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Closed form, the bootstrap of K-1 of K blocks, naive resampling of blocks, and (wrongly) of tasks."""
    tasks, blocks = params["T"], params["K"]
    parts: dict[str, list[Score]] = {}
    for n, rng in chunks(studies, sequence):
        study = data.dense(rng, n, tasks, blocks, rate=0.5, concentration=2.0, effect=params["effect"] / 100)
        flat = study.blocks.reshape(n, -1)
        found = {DEFAULT: product.ends(product.fixed(study.blocks))}
        for method, taken in ((METHODS[0], blocks - 1), (METHODS[1], blocks)):
            weights = resample.block_weights(rng, DRAWS, tasks, blocks, taken)
            found[method] = resample.percentile(flat, weights, tasks * blocks)
        counts = resample.task_counts(rng, DRAWS, tasks)
        found[METHODS[2]] = resample.percentile(study.means, counts, tasks)
        for method, (low, high) in found.items():
            parts.setdefault(method, []).append(covered(low, high, study.truth_of_tasks))
    return {method: merged(p) for method, p in parts.items()}


def cells(form: str) -> list[Cell]:
    """T x K x effect."""
    grid = [(20, 2, 6), (89, 3, 6)]
    if form == "full":
        grid = [(t, k, e) for t in (20, 89) for k in (2, 3, 5, 10) for e in (0, 6)]
    studies = 1000 if form == "short" else 4000
    return [Cell(NAME, {"T": t, "K": k, "effect": e}, studies, run) for t, k, e in grid]


def table(results: list[dict[str, Any]]) -> str:
    """Coverage (mean width in points)."""
    rows = [
        [r["params"]["T"], r["params"]["K"], r["params"]["effect"], f"**{cell_text(own)}**",
         TARGET.verdict(own["covered"], own["given"]), *(cell_text(r["methods"][m]) for m in METHODS)]
        for r in results
        for own in [r["methods"][DEFAULT]]
    ]  # fmt: skip
    return markdown(["T", "K", "effect", "**raysweep**", "verdict", *METHODS], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells of the closed form outside the target."""
    return [
        f"{NAME} {r['params']}: {percent(s['covered'], s['given'])} % is {verdict} for {TARGET}"
        for r in results
        if (verdict := TARGET.verdict((s := r["methods"][DEFAULT])["covered"], s["given"])) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
