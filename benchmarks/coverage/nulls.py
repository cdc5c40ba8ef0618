"""Group: A/A. Every test on studies in which there is nothing to find: how often it says otherwise at 5 %.

One cell per test and size; a Score holds `rejected` of `studies`, for the test and for what lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.coverage import joint, kinds
from benchmarks.coverage.cell import Cell, Group, Params, Score, chunks
from benchmarks.coverage.judge import Target, markdown, percent
from benchmarks.coverage.kinds import ALPHA, Found, Rng

NAME = "false-positives"
TARGET = Target(0.0, ALPHA)
BESIDE = (
    "McNemar mid-p", "Page, normal", "CMH without correction", "chi-square over arms",
    "five single percentile intervals", "t at every look",
)  # fmt: skip
"""Shown beside the rules that the product uses; their level is not bounded."""

KINDS: dict[str, tuple[Callable[[Rng, int, Params], Found], list[dict[str, Any]]]] = {
    "sign-flip": (kinds.contrasts, [{"T": t, "K": k} for t, k in ((8, 3), (20, 1), (20, 3), (89, 3))]),
    "cmh": (kinds.cmh, [{"T": t, "K": k, "q": q} for t, k, q in ((20, 3, 5.8), (89, 3, 2.1), (89, 10, 2.1))]),
    "mcnemar": (kinds.mcnemar, [{"T": t, "q": q} for t, q in ((20, 20), (89, 10))]),
    "page": (kinds.page, [{"T": t, "K": k} for t, k in ((20, 1), (20, 3), (89, 3))]),
    "platform": (kinds.platform, [{"occasions": o, "blocks": b} for o, b in ((4, 89), (28, 20))]),
    "buckets": (kinds.buckets, [{"D": d} for d in (3, 4, 7, 14)]),
    "tost": (joint.tost, [{"T": 89, "K": k} for k in (20, 65)]),
    "bands": (joint.bands, [{"T": t, "K": 3} for t in (20, 89)]),
    "change-point": (joint.peak, [{"T": 89, "K": k} for k in (5, 65, 120)]),
    "looks": (joint.peeking, [{"T": 89, "looks": j} for j in (2, 7)]),
}


def run(params: Params, studies: int, sequence: np.random.SeedSequence) -> dict[str, Score]:
    """Rejections of the tests of one kind."""
    kind, _ = KINDS[params["test"]]
    found: Found = {}
    for n, rng in chunks(studies, sequence):
        for name, rejected in kind(rng, n, params).items():
            found.setdefault(name, []).extend(rejected)
    return {name: {"studies": len(r), "rejected": int(np.sum(r))} for name, r in found.items()}


def cells(form: str) -> list[Cell]:
    """Every test; its first size only in the short form."""
    studies = 500 if form == "short" else 4000
    return [
        Cell(NAME, {"test": kind, **size}, studies, run)
        for kind, (_, sizes) in KINDS.items()
        for size in (sizes[:1] if form == "short" else sizes)
    ]


def table(results: list[dict[str, Any]]) -> str:
    """Share of A/A studies in which a test rejects."""
    rows = [
        [name, ", ".join(f"{k} = {v}" for k, v in r["params"].items() if k != "test"),
         percent(s["rejected"], s["studies"]), verdict(name, s)]
        for r in results
        for name, s in r["methods"].items()
    ]  # fmt: skip
    return markdown(["test", "size", "rejects, %", "verdict"], sorted(rows, key=lambda row: row[0] in BESIDE))


def verdict(name: str, score: Score) -> str:
    """Against 5 %."""
    word = TARGET.verdict(score["rejected"], score["studies"])
    return f"not used by default; {word}" if name in BESIDE else word


def failed(results: list[dict[str, Any]]) -> list[str]:
    """Tests that the product reports and that reject too often."""
    return [
        f"{NAME} {name} {r['params']}: {percent(s['rejected'], s['studies'])} %"
        for r in results
        for name, s in r["methods"].items()
        if name not in BESIDE and TARGET.verdict(s["rejected"], s["studies"]) != "holds"
    ]


GROUP = Group(NAME, cells, table, failed)
