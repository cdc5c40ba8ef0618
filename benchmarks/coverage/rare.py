"""Group: infrastructure contrasts, rare events clustered in few tasks. The default beside a bootstrap of tasks."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.coverage import data, product, resample
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Target, covered, markdown, merged, percent
from benchmarks.coverage.sampled import DEFAULT, cell_text

NAME = "infra"
TARGET = Target(0.92)
DRAWS = 4000
METHODS = ("percentile", "paired t")
CLUSTERING = {"none": math.inf, "some": 10.0, "strong": 1.0}
"""a + b of the beta of q over tasks: at q = 2.1 % and "strong", 7 % of tasks hold nine tenths of the deaths."""


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Rates `before` (reference) and `after` (arm) are in percent."""
    tasks, blocks, before, after = params["T"], params["K"], params["before"] / 100, params["after"] / 100
    parts: dict[str, list[Score]] = {}
    used: Counter[str] = Counter()
    for n, rng in chunks(studies, sequence):
        concentration = CLUSTERING[params["clustering"]]
        study = data.infra(rng, n, tasks, blocks, before=before, after=after, concentration=concentration)
        default = product.contrasts(study, seed=int(rng.integers(2**31)))
        used.update(i.method.split(" (")[0].split(",")[0] for i in default)
        counts = resample.task_counts(rng, DRAWS, tasks)
        found = {
            DEFAULT: product.ends(default),
            METHODS[0]: resample.percentile(study.means, counts, tasks),
            METHODS[1]: resample.paired_t(study.means),
        }
        for method, (low, high) in found.items():
            parts.setdefault(method, []).append(covered(low, high, after - before))
    scores = {method: merged(p) for method, p in parts.items()}
    scores[DEFAULT]["used"] = dict(used)
    return scores


def cells(form: str) -> list[Cell]:
    """Rates x clustering x T x K."""
    pairs = [(5.8, 2.1), (2.1, 0.5), (0.5, 0.5)]
    if form == "short":
        grid = [(2.1, 0.5, "some", 20, 1), (5.8, 2.1, "some", 89, 3)]
    else:
        grid = [(b, a, c, t, k) for b, a in pairs for c in CLUSTERING for t in (20, 89) for k in (1, 3, 10, 40)]
    keys = ("before", "after", "clustering", "T", "K")
    return [Cell(NAME, dict(zip(keys, g, strict=True)), 1000 if form == "short" else 4000, run) for g in grid]


def table(results: list[dict[str, Any]]) -> str:
    """Coverage (mean width in points) of the default, and of the percentile bootstrap behind the stroke; K across."""
    blocks = sorted({r["params"]["K"] for r in results})
    lines: dict[tuple[str, str, int], dict[int, dict[str, Score]]] = {}
    for r in results:
        p = r["params"]
        lines.setdefault((f"{p['before']:g} to {p['after']:g}", p["clustering"], p["T"]), {})[p["K"]] = r["methods"]
    rows = []
    for key, by_blocks in lines.items():
        wrong = [(k, w) for k, m in by_blocks.items() if (w := word(m[DEFAULT])) != "holds"]
        cells_of = [_both(by_blocks[k]) if k in by_blocks else "" for k in blocks]
        rows.append([*key, *cells_of, "; ".join(f"K = {k} {w}" for k, w in wrong) or "holds"])
    return markdown(["q, %", "clustering", "T", *(f"K = {k}" for k in blocks), "verdict"], rows)


def _both(methods: dict[str, Score]) -> str:
    boot = methods["percentile"]
    return f"**{cell_text(methods[DEFAULT])}** / {percent(boot['covered'], boot['given'])}"


def word(score: Score) -> str:
    """Verdict on the default."""
    return TARGET.verdict(score["covered"], score["given"])


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells of the default below the target."""
    return [
        f"{NAME} {r['params']}: {percent(s['covered'], s['given'])} % is {verdict} for {TARGET}"
        for r in results
        if (verdict := word(s := r["methods"][DEFAULT])) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
