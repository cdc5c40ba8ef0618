"""Group: what the report says of ledgers of a stated truth, in the shape of the published study.

Truth: 89 tasks, six bands, success flat to 3x, +3 points at 5x, +6 uncapped, deaths 5.8 % falling to 0.5 %; K = 120
blocks per task, and K = 5, which is not enough. A statement holds when the verdict's own sentence says it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from benchmarks.coverage import product
from benchmarks.coverage.cell import Cell, Group, Params, Score
from benchmarks.coverage.judge import Target, markdown, percent
from benchmarks.coverage.product import Said

NAME = "statements"
SEEDS_PER_CELL = 10
FLAT, RISES, UNCAPPED, DEATHS = (
    "no difference shown between 1x and 3x",
    "success rises from 1x to 5x",
    "success rises from 1x to uncapped",
    "infrastructure deaths fall from 1x to 3x",
)
HOLDS, ALONE = "the change-point set holds 3x", "the change-point set is 3x alone"
RECOMMENDS, TOO_WIDE = "calibration recommends 3x", "calibration recommends 5x or uncapped"
UNDECIDED, NEEDED = "calibration says not enough data", "calibration says how many blocks are needed for 3x"


def implied(blocks: int) -> float:
    """Probability that 1.5x, 2x and 3x, all equal to 1x in truth, pass TOST at 2 points (normal, shared reference)."""
    p, tasks, concentration = 0.45, 89, 2.0
    se = np.sqrt(2 * p * (1 - p) * concentration / (concentration + 1) / blocks / tasks)
    reach = 0.02 / se - norm.ppf(0.95)
    z = np.random.default_rng(1).normal(size=(400_000, 4))
    return float(np.mean(np.all(np.abs(z[:, 1:] - z[:, :1]) < reach * np.sqrt(2), axis=1)))


TARGETS: dict[int, dict[str, Target]] = {
    120: {
        FLAT: Target(0.95), RISES: Target(0.99), UNCAPPED: Target(0.99), DEATHS: Target(0.99), HOLDS: Target(0.95),
        RECOMMENDS: Target(round(implied(120), 2)), TOO_WIDE: Target(0.0, 0.05),
    },
    5: {
        FLAT: Target(0.95), HOLDS: Target(0.95), RECOMMENDS: Target(0.0, 0.05), TOO_WIDE: Target(0.0, 0.05),
        UNDECIDED: Target(0.95), NEEDED: Target(0.95),
    },
}  # fmt: skip


def judged(said: Said) -> dict[str, bool]:
    """Which statements one report makes."""
    three = next((s for s in said.sentences if "1x" in s and "3x" in s), "")
    return {
        FLAT: any(FLAT in s for s in said.sentences),
        RISES: any("success rises" in s and "from 1x to 5x" in s for s in said.sentences),
        UNCAPPED: any("success rises" in s and "from 1x to uncapped" in s for s in said.sentences),
        DEATHS: "infrastructure deaths fall" in three,
        HOLDS: "3x" in said.change_point and any("change point" in s and "3x" in s for s in said.sentences),
        ALONE: said.change_point == ("3x",),
        RECOMMENDS: said.recommended == "3x",
        TOO_WIDE: said.recommended in {"5x", "uncapped"},
        UNDECIDED: said.status == "not enough data",
        NEEDED: said.needed_at_3x is not None,
    }


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Statements of `studies` ledgers."""
    made = [judged(product.report(params["K"], np.random.default_rng(s))) for s in sequence.spawn(studies)]
    return {text: {"studies": studies, "found": sum(m[text] for m in made)} for text in made[0]}


def cells(form: str) -> list[Cell]:
    """100 ledgers of each K in batches, so that a killed run loses little."""
    batches = 1 if form == "short" else 10
    studies = 4 if form == "short" else SEEDS_PER_CELL
    return [Cell(NAME, {"K": k, "batch": b}, studies, run) for k in (120, 5) for b in range(batches)]


def pooled(results: list[dict[str, Any]]) -> dict[tuple[int, str], tuple[int, int]]:
    """(K, statement) to (found, ledgers)."""
    found: dict[tuple[int, str], tuple[int, int]] = {}
    for r in results:
        for text, s in r["methods"].items():
            k, n = found.get((r["params"]["K"], text), (0, 0))
            found[r["params"]["K"], text] = (k + s["found"], n + s["studies"])
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Share of ledgers whose report says it."""
    rows = []
    for (blocks, text), (found, of) in pooled(results).items():
        target = TARGETS[blocks].get(text)
        rows.append(
            [blocks, text, of, percent(found, of), target or "-", target.verdict(found, of) if target else "shown only"]
        )
    return markdown(["K", "the report says", "ledgers", "in, %", "target", "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Statements that miss their target."""
    return [
        f"{NAME} K = {blocks}: {text} in {percent(found, of)} %, target {target}"
        for (blocks, text), (found, of) in pooled(results).items()
        if (target := TARGETS[blocks].get(text)) and target.verdict(found, of) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
