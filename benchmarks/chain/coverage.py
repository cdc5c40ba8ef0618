"""Coverage through the whole chain: each sweep's intervals beside the truth that its YAML states.

A line of the raw file is one sweep: what each interval was. So a run that is broken off goes on where it was, and the
judgement can be made again without running anything.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.compute as pc

from benchmarks.chain import sweeps
from benchmarks.chain.world import World, cell
from benchmarks.coverage.judge import monte_carlo as exact
from raysweep.record.reader import LedgerView
from raysweep.stats import Finding, analyse
from raysweep.stats.facet import Facet
from raysweep.study.sources import design_of

SEED = 20260205
TASKS, DATES = 12, 4
KEPT = (
    "estimand", "arm", "reference", "bucket", "value", "low", "high", "unit", "level", "method",
    "resampled_over",
)  # fmt: skip
ROUNDING = 1e-9
QUANTILE = 2.5758
"""Quantile of the normal distribution for a 99 % interval."""


@dataclass(frozen=True)
class Shape:
    """The size of a sweep."""

    tasks: int = TASKS
    dates: int = DATES


FULL = Shape()


def text(seed: int, shape: Shape = FULL) -> str:
    """The YAML of one sweep."""
    return sweeps.COVERAGE.format(seed=seed, faults=sweeps.FAULTS, tasks=shape.tasks, dates=shape.dates)


def one(seed: int, shape: Shape = FULL) -> dict[str, Any]:
    """Run and analyse one sweep: what its chain went through, and every finding with an interval or a p-value."""
    with tempfile.TemporaryDirectory() as folder:
        view, drivers = sweeps.run(text(seed, shape), Path(folder))
        analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    kept = [f for f in (*analysis.findings, *analysis.details) if f.low is not None or f.estimand.startswith("p_")]
    return {
        "seed": seed,
        "drivers": drivers,
        **_chain(view),
        "findings": [{name: getattr(f, name) for name in KEPT} | {"facet": f.facet and asdict(f.facet)} for f in kept],
    }


def _chain(view: LedgerView) -> dict[str, Any]:
    """What the ledger went through: rows by platform cause, block runs, dates, and attempts of a trial by band."""
    table = view.table
    platform = table.filter(pc.equal(table["cause_class"], "platform"))
    done = table.filter(pc.and_(table["is_final"], pc.fill_null(pc.not_equal(table["cause_class"], "platform"), True)))
    bands, final = table["band"].to_pylist(), Counter(done["band"].to_pylist())
    return {
        "rows": len(table),
        "trials": len(view.planned),
        "missing": len(view.planned) - len(done),
        "platform": dict(Counter(platform["cause"].to_pylist())),
        "again": int(pc.sum(pc.greater(table["block_run"], 1)).as_py() or 0),
        "crossed": int(pc.sum(table["crossed_boundary"]).as_py() or 0),
        "attempts": {band: n / final[band] for band, n in Counter(bands).items()},
        "dates": sorted(set(table["occasion"].to_pylist())),
    }


def collect(raw: Path, count: int, shape: Shape = FULL) -> None:
    """Append sweeps to the raw file until it has `count` of them."""
    have = {line["seed"] for line in read(raw)}
    for seed in range(SEED, SEED + count):
        if seed not in have:
            line = json.dumps(one(seed, shape))
            with raw.open("a") as sink:
                sink.write(line + "\n")


def read(raw: Path) -> list[dict[str, Any]]:
    """The sweeps of a raw file."""
    return [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []


def finding(told: Mapping[str, Any]) -> Finding:
    """A finding as far as the raw file keeps it."""
    told = {k: v for k, v in told.items() if k not in {"unit", "facet"}} | {"facet": Facet.of(told["facet"])}
    return Finding(model="m", n_tasks=TASKS, n_attempts=0, n_dates=DATES, **told)


@dataclass(frozen=True)
class Judged:
    """A kind of interval: its mean coverage over sweeps, Monte Carlo s.e. between sweeps, mean width, mean error.

    error: mean of estimate minus truth, in s.e. of that mean between sweeps.
    """

    kind: str
    sweeps: int
    intervals: int
    coverage: float
    se: float
    width: float
    error: float


def judge(lines: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Every kind of interval over all sweeps; several of one kind in a sweep are one observation, their mean.

    Contrasts that hold together count as held when all of them hold.
    """
    lines = list(lines)
    attempts = {b: fmean(line["attempts"][b] for line in lines) for b in lines[0]["attempts"]}
    held: defaultdict[str, list[list[tuple[bool, float, float | None]]]] = defaultdict(list)
    for line in lines:
        sweep, truth = sweeps.stated(text(line["seed"]))
        world = World.of(sweep, truth, line["dates"], attempts)
        mine: defaultdict[str, list[tuple[bool, float, float | None]]] = defaultdict(list)
        for kind, seen in _seen(world, line["findings"]):
            mine[kind].append(seen)
        for kind, each in mine.items():
            held[kind].append(each)
    return [_judged(kind, each) for kind, each in held.items()]


def _seen(world: World, told: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[bool, float, float | None]]]:
    for f in map(finding, told):
        known = cell(f)
        if known is None or f.low is None or f.high is None:
            continue
        kind, truth = known[0], known[1](world)
        inside = f.low - ROUNDING <= truth <= f.high + ROUNDING
        yield kind, (inside, f.high - f.low, None if f.value is None else f.value - truth)


def _judged(kind: str, each: list[list[tuple[bool, float, float | None]]]) -> Judged:
    together = "together" in kind
    shares = [(float(all(h for h, _, _ in s)) if together else fmean(float(h) for h, _, _ in s)) for s in each]
    errors = [fmean(e) for s in each if (e := [v for _, _, v in s if v is not None])]
    return Judged(
        kind=kind,
        sweeps=len(each),
        intervals=sum(map(len, each)),
        coverage=fmean(shares),
        se=_se(shares),
        width=fmean(w for s in each for _, w, _ in s),
        error=fmean(errors) / max(1e-12, _se(errors)) if errors else math.nan,
    )


def monte_carlo(j: Judged) -> tuple[float, float]:
    """99 % interval of the coverage.

    Exact where each sweep gives one interval (Clopper-Pearson); else by the spread between sweeps, widened by what one
    sweep more or less would change, so that a share of 1 has an interval too.
    """
    if j.intervals == j.sweeps or "together" in j.kind:
        return exact(round(j.coverage * j.sweeps), j.sweeps)
    reach = QUANTILE * j.se + 1 / j.sweeps
    return max(0.0, j.coverage - reach), min(1.0, j.coverage + reach)


def _se(values: list[float]) -> float:
    mean = fmean(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1) / len(values))
