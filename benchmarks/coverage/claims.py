"""Group: any claim. Six bands (five contrasts) that do not differ: how many reports say that some band does.

Difficulty is U-shaped (`shapes`). "before": a sentence for each plain interval that excludes 0, as reports were until
schema version 2; "now": the claims of `stats.verdict`. looks: planned looks over as many dates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.coverage import shapes
from benchmarks.coverage.cell import Cell, Group, Params, Score
from benchmarks.coverage.judge import Target, markdown, percent
from raysweep.stats import simulate
from raysweep.stats.cube import with_labels
from raysweep.stats.findings.contrast import band_contrasts
from raysweep.stats.findings.looks import looks
from raysweep.stats.findings.progress import progress
from raysweep.stats.findings.significance import significance
from raysweep.stats.findings.together import together
from raysweep.stats.methods.interval import Draws
from raysweep.stats.verdict import verdict

NAME = "claims"
TARGET = Target(0.0, 0.06)


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Reports with any claim, of `studies`."""
    rng = np.random.default_rng(sequence)
    dates = max(1, params["looks"])
    truth, places, blank = shapes.blank(params["T"], 6, dates, params["K"] // dates)
    design = truth.design(looks=params["looks"])
    table, planned = (with_labels(t) for t in simulate.tables_of(truth, places, np.random.default_rng(0)))
    how = Draws(seed=1, replicates=2000, level=0.95)
    at = progress(table, planned)
    before = now = 0
    for _ in range(studies):
        p = shapes.difficulty(rng, (params["T"],))[places.task][:, None]
        cube = shapes.filled(blank, rng.random(places.passed.shape) < p)
        findings = [f for f in band_contrasts(cube, design, how) if f.estimand == "success"]
        findings += together(cube, design, how)
        findings += [f for look in looks(table, planned, design, at, cube) for f in look.findings]
        findings += _tests(cube, table, design, how)
        plain = [f for f in findings if f.resampled_over == "tasks" and f.unit == "points" and f.facet is None]
        before += any(f.excludes_zero for f in plain)
        now += any(s.claim for s in verdict(findings))
    return {"before": {"studies": studies, "claimed": before}, "now": {"studies": studies, "claimed": now}}


def _tests(cube: Any, table: pa.Table, design: Any, how: Draws) -> list[Any]:
    return [f for f in significance(cube, table, design, how) if f.estimand == "p_success"]


def cells(form: str) -> list[Cell]:
    """Study-like sizes, without looks and with three."""
    studies = 60 if form == "short" else 400
    sizes = [{"T": 20, "K": 3, "looks": 0}, {"T": 89, "K": 3, "looks": 0}, {"T": 89, "K": 9, "looks": 3}]
    return [Cell(NAME, size, studies, run) for size in (sizes[:1] if form == "short" else sizes)]


def table(results: list[dict[str, Any]]) -> str:
    """Share of reports with any claim."""
    rows = []
    for r in results:
        old, new = r["methods"]["before"], r["methods"]["now"]
        word = TARGET.verdict(new["claimed"], new["studies"])
        shares = [percent(s["claimed"], s["studies"]) for s in (old, new)]
        rows.append([r["params"]["T"], r["params"]["K"], r["params"]["looks"], new["studies"], *shares, word])
    return markdown(["T", "K", "looks", "reports", "before, %", "**now, %**", "verdict"], rows)


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Sizes at which too many reports claim."""
    return [
        f"{NAME} {r['params']}: {percent(s['claimed'], s['studies'])} %"
        for r in results
        for s in [r["methods"]["now"]]
        if TARGET.verdict(s["claimed"], s["studies"]) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
