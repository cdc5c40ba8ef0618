"""What trials used and how long they took: quantiles and shares per arm, without intervals.

Belongs here: which column is which estimand, and in what unit. Does not: limits that tasks should have (calibration),
what moves with the hour (mechanism).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.columns import coded, numbers
from raysweep.stats.cube import Cube
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.observed import declared
from raysweep.stats.findings.plain import plain

TAILS = (0.9, 0.99)
"""Quantiles beside the median; each is a Finding with the facet of its quantile."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One estimand of every row: values (n,), nan where unknown. share: its mean is reported, not its quantiles."""

    name: str
    values: Floats
    share: bool = False


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by group: `order` holds them one group behind the other, from starts[g] to ends[g]."""

    order: Ints
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, codes: Ints, groups: int) -> Groups:
        """Groups 0..groups-1 of `codes` (n,); rows with another code belong to none."""
        order = np.argsort(codes.astype(np.int16) if groups < 2**15 else codes, kind="stable")  # 16 bits: radix sort
        wanted = np.arange(groups)
        inside = codes[order]
        return cls(order, np.searchsorted(inside, wanted), np.searchsorted(inside, wanted, side="right"))

    def known(self, values: Floats) -> Iterator[Floats]:
        """The finite ones of `values` (n,), group by group."""
        if not np.isfinite(values).any():
            yield from (np.zeros(0) for _ in self.starts)
            return
        arranged = values[self.order]
        for start, end in zip(self.starts, self.ends, strict=True):
            part = arranged[start:end]
            yield part[np.isfinite(part)]


def resources(table: pa.Table, arm: Ints, cube: Cube) -> Iterator[Finding]:
    """Findings per arm over final attempts, where a column is known at all. arm: (rows,) as of `final_arm_codes`."""
    groups = Groups.of(arm, len(cube.arms))
    counts = [{"n_tasks": len(np.unique(cube.task[rows])), "n_dates": cube.n_dates(rows)} for rows in cube.present.T]
    for measure in measures(table, cube):
        for key, more, known in zip(cube.arms, counts, groups.known(measure.values), strict=True):
            yield from _of_arm(measure, known, key.model, key.band, **more)


def _of_arm(measure: Measure, known: Floats, model: str, band: str, **more: object) -> Iterator[Finding]:
    if not len(known):
        return
    more |= {"n_attempts": len(known)}
    if measure.share:
        method = "mean over final attempts where known"
        yield plain(measure.name, model, band, None, float(known.mean()), method=method, **more)
        return
    middle, *ends = np.quantile(known, [0.5, *TAILS])
    yield plain(measure.name, model, band, None, float(middle), method="median over final attempts where known", **more)
    for tail, value in zip(TAILS, ends, strict=True):
        facet, method = Facet(FacetKind.QUANTILE, tail), "quantile over final attempts where known"
        yield plain(measure.name, model, band, facet, float(value), method=method, **more)


def measures(table: pa.Table, cube: Cube) -> Iterator[Measure]:
    """All measures of the rows, in the order in which a report shows them."""
    yield _span(table, "queue_seconds", "t_queued", "t_created")
    yield _span(table, "setup_seconds", "t_created", "t_agent_start")
    yield _span(table, "agent_seconds", "t_agent_start", "t_agent_end")
    yield _span(table, "verifier_seconds", "t_agent_end", "t_verifier_end")
    yield from _used(table, cube)
    throttled = numbers(table["throttled_us"])
    yield Measure("throttled_share", _positive(throttled), share=True)
    yield Measure("throttled_seconds", throttled / 1e6)
    yield Measure("timed_out_share", numbers(table["timed_out"]), share=True)
    yield Measure("oom_kills_share", _positive(numbers(table["oom_kills"])), share=True)
    for name in ("tokens_in", "tokens_out", "tokens_cached"):
        yield Measure(name, numbers(table[name]))
    yield Measure("cost_usd", numbers(table["cost_usd"]))
    for name in ("api_p50_ms", "api_p95_ms"):
        yield Measure(name, numbers(table[name]))
    yield Measure("api_429_share", _positive(numbers(table["api_429"])), share=True)


def _used(table: pa.Table, cube: Cube) -> Iterator[Measure]:
    """Peaks, and their shares of what the task states."""
    task, names = coded(table["task"])
    at = {name: code for code, name in enumerate(cube.tasks)}
    cube_task = np.array([at[name] for name in names.to_pylist()], dtype=np.int64)[task]
    spec = declared(table, table.select([]), cube.tasks)
    for name, resource, column in (
        ("mem_anon_peak", "memory", "mem_anon_peak_bytes"),
        ("mem_peak", "memory", "mem_peak_bytes"),
        ("cpu_peak_1s", "cpu", "cpu_peak_1s"),
        ("cpu_peak_10s", "cpu", "cpu_peak_10s"),
    ):
        values = numbers(table[column])
        yield Measure(name, values)
        whole = spec[resource][cube_task]
        share = np.divide(values, whole, out=np.full(len(values), np.nan), where=whole > 0)
        yield Measure(f"{name}_of_spec", share)


def _span(table: pa.Table, name: str, start: str, end: str) -> Measure:
    return Measure(name, (numbers(table[end]) - numbers(table[start])) / 1e6)


def _positive(values: Floats) -> Floats:
    """1 where a count is above 0, nan where it is unknown."""
    return np.where(np.isfinite(values), (values > 0).astype(np.float64), np.nan)
