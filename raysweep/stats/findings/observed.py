"""What trials used, as arrays, beside what their tasks declare; shared by the tables of declared against observed.

A trial's peak is the larger one of its agent and its verifier phase: the task's spec holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.columns import coded, flags, numbers
from raysweep.stats.cube import Cube
from raysweep.stats.endings import endings
from raysweep.stats.findings.limits import Limits, widest

MEASURES = {
    "mem_anon_peak": "memory",
    "mem_peak": "memory",
    "cpu_peak_1s": "cpu",
    "cpu_peak_10s": "cpu",
    "agent_seconds": "agent_time",
}
"""Measure to the declared quantity that it stands against."""
UNITS = {"memory": "bytes", "cpu": "millicores", "agent_time": "seconds"}
MEMORY_KILLS = ("oom_limit", "oom_verifier")
WINDOW_S = 10.0
"""A trial shorter than this has no mean over 10 s that means anything: the ledger counts it as idle around it."""
PHASED = ("oom_kills", "mem_peak_bytes", "mem_anon_peak_bytes")
COLUMNS = [
    "task", "_model", "band", "cause", "timed_out", "t_agent_start", "t_agent_end", "cpu_peak_1s", "cpu_peak_10s",
    *PHASED, *(f"verifier_{name}" for name in PHASED),
]  # fmt: skip
"""What is read of a trial; all other columns are left out before rows are."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Final trials with a result; n trials, T tasks.

    task, model, band: (n,) codes into tasks, models, bands. passed: full reward. killed: an OOM kill in either phase,
    or a death by the memory limit. timed_out: the agent met its time limit. measures: (n,) each, nan unknown, by the
    names of MEASURES and "cpu_sustained": over 10 s where the trial took as long, else over 1 s. declared: (T,) bytes,
    millicores, seconds by the names of UNITS; nan unknown.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    bands: tuple[str, ...]
    limits: Mapping[str, Limits]
    task: Ints
    model: Ints
    band: Ints
    passed: Bools
    killed: Bools
    timed_out: Bools
    measures: Mapping[str, Floats]
    declared: Mapping[str, Floats]

    def by_task(self, trials: Ints) -> list[Ints]:
        """Indices of trials, one array per task."""
        order = trials[np.argsort(self.task[trials], kind="stable")]
        return np.split(order, np.searchsorted(self.task[order], np.arange(1, len(self.tasks))))

    def widest(self, resource: str) -> tuple[tuple[str, ...], Bools]:
        """The least constrained bands with a trial for memory or cpu (agent time: as cpu), and their mask (n,)."""
        present = [band for code, band in enumerate(self.bands) if bool(np.any(self.band == code))]
        names = widest(self.limits, present, "memory" if resource == "memory" else "cpu")
        return names, np.isin(self.band, [self.bands.index(b) for b in names])


def observe(table: pa.Table, planned: pa.Table, cube: Cube, limits: Mapping[str, Limits]) -> Observed:
    """Arrays from a ledger's tables (labelled). Trials without a y are left out: platform causes cut their peaks."""
    y = endings(table).y
    use = flags(table["is_final"]) & np.isfinite(y)
    final, y = table.select(COLUMNS).filter(pa.array(use)), y[use]
    bands = tuple(dict.fromkeys(a.band for a in cube.arms))
    seconds = (numbers(final["t_agent_end"]) - numbers(final["t_agent_start"])) / 1e6
    short, long = numbers(final["cpu_peak_1s"]), numbers(final["cpu_peak_10s"])
    kills = np.nan_to_num(numbers(final["oom_kills"])) + np.nan_to_num(numbers(final["verifier_oom_kills"]))
    return Observed(
        tasks=cube.tasks,
        models=cube.models,
        bands=bands,
        limits=limits,
        task=_codes(final["task"], cube.tasks),
        model=_codes(final["_model"], cube.models),
        band=_codes(final["band"], bands),
        passed=y >= 1.0,
        killed=(kills > 0) | flags(pc.is_in(final["cause"], value_set=pa.array(MEMORY_KILLS))),
        timed_out=flags(final["timed_out"]),
        measures={
            "mem_anon_peak": _larger(final, "mem_anon_peak_bytes"),
            "mem_peak": _larger(final, "mem_peak_bytes"),
            "cpu_peak_1s": short,
            "cpu_peak_10s": long,
            "cpu_sustained": np.where((seconds >= WINDOW_S) & np.isfinite(long), long, short),
            "agent_seconds": seconds,
        },
        declared=declared(table, planned, cube.tasks),
    )


def declared(table: pa.Table, planned: pa.Table, tasks: tuple[str, ...]) -> dict[str, Floats]:
    """Declared memory, cpu and agent time per task, (T,) each, nan unknown.

    A spec is what was asked / its multiplier: of the limit where there is one (the cpu request of a band whose request
    equals its limit is 1 millicore lower, see plan.asked), else of the request. Agent time: plan.parquet alone has it.
    """
    specs = {name: np.full(len(tasks), np.nan) for name in UNITS}
    for resource in ("memory", "cpu"):
        for source in (planned, table):
            for side in ("limit", "request"):
                asked, mult = f"{side}_{resource}_asked", f"{side}_{resource}_mult"
                if {asked, mult, "task"} <= set(source.column_names):
                    spec = np.rint(numbers(source[asked]) / numbers(source[mult]))
                    _fill(specs[resource], _codes(source["task"], tasks), spec)
    if {"agent_timeout_s", "task"} <= set(planned.column_names):
        _fill(specs["agent_time"], _codes(planned["task"], tasks), numbers(planned["agent_timeout_s"]))
    return specs


def _fill(into: Floats, task: Ints, values: Floats) -> None:
    """Sets the tasks that are not known yet to the largest finite value of theirs."""
    seen = np.full(len(into), -np.inf)
    use = np.isfinite(values)
    np.maximum.at(seen, task[use], values[use])
    fresh = np.isnan(into) & np.isfinite(seen)
    into[fresh] = seen[fresh]


def _larger(table: pa.Table, name: str) -> Floats:
    return np.asarray(np.fmax(numbers(table[name]), numbers(table[f"verifier_{name}"])), dtype=np.float64)


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> Ints:
    """Codes (n,) into `names`, which hold every value of the column."""
    codes, found = coded(column)
    at = {name: i for i, name in enumerate(names)}
    return np.array([at[name] for name in found.to_pylist()], dtype=np.int64)[codes]
