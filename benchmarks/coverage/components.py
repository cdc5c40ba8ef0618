"""Group: variance components of time of day (bucket, occasion, date): coverage of intervals, bias of values.

Truth: success of a task = a difficulty within 0.2..0.8 + bucket + date + occasion effect, added without clipping, so
that the components of the drawn tasks are the stated ones exactly. The grid of occasion means and MS(task x occasion)
are formed here for all studies at once (the design is balanced, so least squares are plain means); the intervals come
from raysweep.stats.methods.variance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Floats, Target, covered, markdown, merged, percent
from benchmarks.coverage.resample import LEVEL
from raysweep.stats.methods.variance import Component, bucket_component, difference_component, mean_squares

NAME = "components"
TARGET = Target(0.93)
BUCKETS, DATE_SD, TRIALS = 4, 0.02, 2
FACTORS = ("bucket", "occasion", "date")


def truth(params: Params) -> dict[str, float]:
    """The true variances: bucket as a finite population, occasion and date as those of normal effects."""
    effects = bucket_effects(params["amplitude"] / 100)
    return {
        "bucket": float(np.mean(effects**2)), "occasion": (params["occasion_sd"] / 100) ** 2, "date": DATE_SD**2,
    }  # fmt: skip


def bucket_effects(amplitude: float) -> Floats:
    """A cosine over the day at the middle of each bucket; mean 0, mean square amplitude^2 / 2."""
    return amplitude * np.cos(2 * math.pi * (np.arange(BUCKETS) + 0.5) / BUCKETS + 0.4)


def grids(rng: np.random.Generator, studies: int, params: Params) -> tuple[Floats, Floats]:
    """Occasion means (S, B, D) and MS(task x occasion) / T (S,) of drawn trials."""
    tasks, dates = params["T"], params["D"]
    moved = bucket_effects(params["amplitude"] / 100)[None, :, None] + rng.normal(0, DATE_SD, (studies, 1, dates))
    moved = moved + rng.normal(0, params["occasion_sd"] / 100, (studies, BUCKETS, dates))
    p = 0.2 + 0.6 * rng.random((studies, tasks))
    cells = rng.binomial(TRIALS, p[:, :, None, None] + moved[:, None]) / TRIALS
    means = cells.mean(axis=1)
    rest = cells - means[:, None] - cells.mean(axis=(2, 3), keepdims=True)
    rest += cells.mean(axis=(1, 2, 3), keepdims=True)
    df = (tasks - 1) * (BUCKETS * dates - 1)
    return means, (rest**2).sum(axis=(1, 2, 3)) / df / tasks


def study(grid: Floats, floor: float, tasks: int) -> dict[str, Component | None]:
    """The three components of one study, as findings.timeofday forms them."""
    s = mean_squares(grid)
    df = (tasks - 1) * (s.buckets * s.dates - 1)
    return {
        "bucket": bucket_component(s, LEVEL),
        "occasion": difference_component(s.rest, s.df_rest, floor, df, divisor=1.0, level=LEVEL),
        "date": difference_component(s.date, s.dates - 1, s.rest, s.df_rest, divisor=s.buckets, level=LEVEL),
    }


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Coverage, and mean and spread of the signed values, per component."""
    true = truth(params)
    parts: dict[str, list[Score]] = {f: [] for f in FACTORS}
    values: dict[str, list[Floats]] = {f: [] for f in FACTORS}
    for n, rng in chunks(studies, sequence):
        means, floors = grids(rng, n, params)
        found = [study(m, float(f), params["T"]) for m, f in zip(means, floors, strict=True)]
        for factor in FACTORS:
            each = [c[factor] for c in found]
            low, high, value = (
                np.array([np.nan if c is None else getattr(c, side) for c in each]) for side in ("low", "high", "value")
            )
            parts[factor].append(covered(low, high, true[factor]))
            values[factor].append(value)
    scores = {f: merged(p) for f, p in parts.items()}
    for factor, score in scores.items():
        value = np.concatenate(values[factor])
        value = value[np.isfinite(value)]
        score |= {"truth": true[factor], "mean": float(value.mean())}
        score |= {"mean_se": float(value.std(ddof=1) / math.sqrt(len(value)))}
    return scores


def cells(form: str) -> list[Cell]:
    """T x D x amplitude x occasion sd (points)."""
    if form == "short":
        grid = [(20, 3, 0, 1), (89, 7, 2, 1)]
    else:
        grid = [(t, d, a, o) for t in (20, 89) for d in (3, 7, 14) for a in (0, 2, 4) for o in (0, 1)]
    keys = ("T", "D", "amplitude", "occasion_sd")
    return [Cell(NAME, dict(zip(keys, g, strict=True)), 500 if form == "short" else 4000, run) for g in grid]


def verdict(score: Score) -> str:
    """Coverage and bias (3 Monte Carlo s.e. of the signed value) together."""
    words = [TARGET.verdict(score["covered"], score["given"])]
    if abs(bias(score)) > 3:
        words.append(f"biased by {bias(score):+.1f} s.e.")
    return ", ".join(words)


def bias(score: Score) -> float:
    """Mean less truth in Monte Carlo s.e."""
    return (score["mean"] - score["truth"]) / score["mean_se"] if score["mean_se"] > 0 else 0.0


def table(results: list[dict[str, Any]]) -> str:
    """Coverage and bias (in Monte Carlo s.e. of the signed value) per component."""
    rows = []
    for r in results:
        p, scores = r["params"], r["methods"]
        words = {w for f in FACTORS if (w := verdict(scores[f])) != "holds"}
        texts = [f"{percent(s['covered'], s['given'])} ({bias(s):+.1f})" for s in (scores[f] for f in FACTORS)]
        rows.append([p["T"], p["D"], p["amplitude"], p["occasion_sd"], *texts, "; ".join(sorted(words)) or "holds"])
    return markdown(["T", "D", "amplitude", "occasion sd", *(f"var_{f}" for f in FACTORS), "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Components whose coverage misses the target, or whose signed values are biased."""
    found = []
    for r in results:
        for factor in FACTORS:
            s = r["methods"][factor]
            if verdict(s) != "holds":
                found.append(f"{NAME} {r['params']} {factor}: {percent(s['covered'], s['given'])} % {verdict(s)}")
    return found


GROUP = Group(NAME, cells, table, failed)
