"""Group: power. The smallest detectable contrast that `raysweep plan` states, simulated: found as often as said."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coverage import data, product
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Target, markdown, percent

NAME = "power"
TARGET = Target(0.75, 0.88)
"""Stated: 80 %. A plan's figure is good if the study keeps within about that."""
SAME, ROOM = "same effect on every task", "effect grows with the room left"
CONCENTRATION = 8.0
"""Task difficulty within about 0.2..0.8, so that a constant effect leaves no task's success beyond 1."""


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """How often the default interval excludes 0 when the truth is the stated effect."""
    tasks, blocks, rate = params["T"], params["K"], params["rate"]
    stated = product.detectable(tasks, blocks, rate=rate, concentration=CONCENTRATION)
    found = {SAME: 0, ROOM: 0}
    for n, rng in chunks(studies, sequence):
        for name, draw in ((SAME, data.constant), (ROOM, data.dense)):
            study = draw(rng, n, tasks, blocks, rate=rate, concentration=CONCENTRATION, effect=stated / 100)
            low, high = product.ends(product.contrasts(study, seed=int(rng.integers(2**31))))
            found[name] += int(((low > 0) | (high < 0)).sum())
    return {name: {"studies": studies, "found": count, "effect": stated} for name, count in found.items()}


def cells(form: str) -> list[Cell]:
    """T x K x rate of the reference."""
    grid = [(20, 10, 0.5), (89, 3, 0.5)]
    if form == "full":
        grid = [(t, k, r) for t, k in ((20, 10), (20, 40), (89, 3), (89, 10), (89, 40)) for r in (0.3, 0.5)]
    studies = 1000 if form == "short" else 4000
    return [Cell(NAME, {"T": t, "K": k, "rate": r}, studies, run) for t, k, r in grid]


def table(results: list[dict[str, Any]]) -> str:
    """Stated effect and its simulated power."""
    rows = [
        [r["params"]["T"], r["params"]["K"], r["params"]["rate"], f"{s['effect']:.1f}",
         percent(s["found"], s["studies"]), TARGET.verdict(s["found"], s["studies"]),
         percent(r["methods"][ROOM]["found"], s["studies"])]
        for r in results
        for s in [r["methods"][SAME]]
    ]  # fmt: skip
    head = ["T", "K", "rate", "stated as detectable, points", f"found, % ({SAME})", "verdict", f"found, % ({ROOM})"]
    return markdown(head, rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells whose power is not what was stated."""
    return [
        f"{NAME} {r['params']}: found in {percent(s['found'], s['studies'])} %"
        for r in results
        if TARGET.verdict((s := r["methods"][SAME])["found"], s["studies"]) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
