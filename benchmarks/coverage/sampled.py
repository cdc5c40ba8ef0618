"""Group: dense contrasts, tasks sampled. The default beside other intervals, from the same studies."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from benchmarks.coverage import data, product, resample
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Target, covered, markdown, merged, percent

NAME = "tasks-sampled"
TARGET = Target(0.935, 0.965)
AT_LEAST = Target(0.935)
"""Where success or failure is rare in an arm (few tasks, a rate of 85 %), Newcombe's interval may be too wide."""
DEFAULT = "raysweep"
METHODS = ("percentile", "expanded percentile", "paired t", "studentised", "BCa", "both levels")
BOTH_DRAWS = 4000


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Scores of every method on the same studies."""
    tasks, blocks, effect = params["T"], params["K"], params["effect"] / 100
    parts: dict[str, list[Score]] = {}
    used: Counter[str] = Counter()
    for n, rng in chunks(studies, sequence):
        study = data.dense(rng, n, tasks, blocks, rate=params["rate"], concentration=2.0, effect=effect)
        found = resample.from_draws(study.means, resample.task_counts(rng, product.REPLICATES, tasks))
        found["paired t"] = resample.paired_t(study.means)
        both = resample.both_level_counts(rng, BOTH_DRAWS, tasks, blocks)
        found["both levels"] = resample.percentile(study.blocks.reshape(n, -1), both, tasks * blocks)
        default = product.contrasts(study, seed=int(rng.integers(2**31)))
        used.update(i.method.split(" (")[0].split(",")[0] for i in default)
        found[DEFAULT] = product.ends(default)
        for method, (low, high) in found.items():
            parts.setdefault(method, []).append(covered(low, high, effect))
    scores = {method: merged(p) for method, p in parts.items()}
    scores[DEFAULT]["used"] = dict(used)
    return scores


def cells(form: str) -> list[Cell]:
    """T x K x effect; and a skewed rate in the full form."""
    if form == "short":
        grid = [(20, 1, 0, 0.5), (20, 3, 6, 0.5), (89, 3, 6, 0.5)]
    else:
        grid = [(t, k, e, 0.5) for t in (8, 20, 89) for k in (1, 3, 10) for e in (0, 6)]
        grid += [(t, k, 6, 0.85) for t in (20, 89) for k in (1, 3, 10)]
    keys = ("T", "K", "effect", "rate")
    return [Cell(NAME, dict(zip(keys, g, strict=True)), 1000 if form == "short" else 4000, run) for g in grid]


def target(params: Params) -> Target:
    """Both sides are promised from 20 tasks on and at a middling rate."""
    return TARGET if params["T"] >= 20 and params["rate"] == 0.5 else AT_LEAST


def table(results: list[dict[str, Any]]) -> str:
    """Coverage (mean width in points) of each method; the verdict is on the default."""
    head = ["T", "K", "effect", "rate", "**raysweep**", "verdict", *METHODS]
    rows = []
    for r in results:
        p, scores = r["params"], r["methods"]
        own = scores[DEFAULT]
        rows.append(
            [p["T"], p["K"], p["effect"], p["rate"], f"**{cell_text(own)}**",
             target(p).verdict(own["covered"], own["given"]), *(cell_text(scores[m]) for m in METHODS)]
        )  # fmt: skip
    return markdown(head, rows)


def cell_text(score: Score) -> str:
    """Coverage of the intervals given, mean width in points; shares without an interval, and wider than -100..100."""
    text = percent(score["covered"], score["given"])
    text += f" ({100 * score['width']:.1f})" if score["width"] is not None else ""
    for count, word in ((score["studies"] - score["given"], "none"), (score["unbounded"], "endless")):
        text += f"; {percent(count, score['studies'])} % {word}" if count else ""
    return text


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Cells of the default outside the target."""
    return [
        f"{NAME} {r['params']}: {percent(s['covered'], s['given'])} % is {verdict} for {target(r['params'])}"
        for r in results
        if (verdict := target(r["params"]).verdict((s := r["methods"][DEFAULT])["covered"], s["given"])) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
