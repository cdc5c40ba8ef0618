"""Several runs as one ledger: whether their designs allow it, and the tables that one analysis reads.

Belongs here: refusing runs that differ, common tasks, names that keep blocks and dates of different runs apart. Does
not: statistics (`many`), how a run measured (`methodology`), sentences.

A block pairs arms within its run only. A date belongs to its run: the same day in two clusters is two dates. Repeats
are counted on, and attempts keep their ids behind their run's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.errors import InputError, Problem
from raysweep.record.reader import LedgerView
from raysweep.record.versions import joined
from raysweep.stats.columns import distinct
from raysweep.stats.cube import RUN
from raysweep.stats.design import Design
from raysweep.stats.methodology import Difference, differences, methodology, noted, refuse_differences

DESIGN = {
    "reference": "reference band",
    "bands": "names of the bands, in ascending order",
    "factors": "other swept factors and what their levels mean",
    "analysis": "registered analysis: primary estimand, delta, confidence, contrasts, looks",
}
"""What no word of the asker can stand in for: contrasts of runs that differ in it are not contrasts of one thing."""
IDS = ("block_id", "trial_id", "attempt_id")
DATES = ("occasion", "actual_occasion")
DATE = "date"


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory as it is now, under the name by which a reader knows it."""

    name: str
    view: LedgerView
    design: Design

    @property
    def run_id(self) -> str:
        """Its identity, whatever path it was reached by."""
        return str(self.view.facts.run_id)

    @property
    def models(self) -> tuple[str, ...]:
        """Models that it planned or ran."""
        return tuple(dict.fromkeys([*distinct(self.view.planned, "model"), *distinct(self.view.table, "model")]))

    @property
    def tasks(self) -> frozenset[str]:
        """Tasks that it planned or ran."""
        return frozenset([*distinct(self.view.planned, "task"), *distinct(self.view.table, "task")])


@dataclass(frozen=True, slots=True)
class Apart:
    """Something in which two runs differ; first, second: their names."""

    first: str
    second: str
    difference: Difference

    def __str__(self) -> str:
        d = self.difference
        return f"{d.field} ({self.first}: {d.a} / {self.second}: {d.b})"


@dataclass(frozen=True, slots=True)
class Merged:
    """Runs that may be analysed as one, oldest first, and their tables with names kept apart.

    table, planned, probes: as LedgerView has them, on the common tasks, with the column cube.RUN; design: of all.
    left_out: tasks that not every run has, each with the runs that do. replicated: models of two or more runs.
    assumed: differences that the asker took upon them; noted: differences that refuse nothing.
    """

    runs: tuple[Run, ...]
    table: pa.Table
    planned: pa.Table
    probes: pa.Table
    design: Design
    tasks: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    replicated: tuple[str, ...]
    assumed: tuple[Apart, ...]
    noted: tuple[Apart, ...]


def merge(runs: Sequence[Run], assumed: Sequence[str] = ()) -> Merged:
    """Two or more runs as one; the result does not depend on their order.

    assumed: fields of `methodology.FIELDS` to take as alike. InputError names every field in which two runs are not
    known to be alike with both values, a run that was given twice, and runs without a task in common.
    """
    ordered = tuple(sorted(runs, key=lambda r: (r.view.facts.created, r.run_id)))
    _refuse_twice(ordered)
    tasks = frozenset.intersection(*(r.tasks for r in ordered))
    if not tasks:
        raise InputError([Problem("the runs have no task in common", "merge runs of the same tasks")])
    problems = list(_designs(ordered))
    taken: list[Apart] = []
    for other in ordered[1:]:
        found = differences(*_methodologies(ordered[0], other, sorted(tasks)))
        try:
            alike = refuse_differences(found, assumed, ordered[0].name, other.name)
        except InputError as error:
            problems += [p for p in error.problems if p not in problems]
        else:
            taken += [Apart(ordered[0].name, other.name, d) for d in alike]
    if problems:
        raise InputError(problems)
    return _merged(ordered, frozenset(tasks), tuple(taken))


def _refuse_twice(runs: Sequence[Run]) -> None:
    seen: dict[str, str] = {}
    for run in runs:
        if run.run_id in seen:
            message = f"is the same run as {seen[run.run_id]} ({run.run_id}): its trials would count twice"
            raise InputError([Problem(message, "give each run once", file=run.name)])
        seen[run.run_id] = run.name


def _designs(runs: Sequence[Run]) -> Iterator[Problem]:
    first = runs[0]
    for other in runs[1:]:
        one, two = _design(first), _design(other)
        for field, meaning in DESIGN.items():
            if one[field] != two[field]:
                yield Problem(
                    f"{first.name} and {other.name} differ in {field} ({meaning}): {one[field]} against {two[field]}",
                    "report them apart, or run the sweep again with one design",
                )


def _design(run: Run) -> dict[str, str]:
    """The fields of DESIGN as text."""
    d = run.design
    analysis = (
        f"{d.primary}, {100 * d.delta:g}pp, {100 * d.confidence:g} %, contrasts {', '.join(d.contrasts) or 'all'}"
    )
    levels = "".join(f", {name} {' '.join(levels)}" for name, levels in d.level_contrasts)
    return {
        "reference": d.reference,
        "bands": ", ".join(d.bands),
        "factors": _words(run.view.facts.factors),
        "analysis": f"{analysis}{levels}, {d.looks} looks",
    }


def _words(factors: Any) -> str:
    """Factors as run.json tells them, in words."""
    if not factors:
        return "none"
    if isinstance(factors, Mapping):
        return "; ".join(f"{name}: {factors[name]}" for name in sorted(factors))
    return str(factors)


def _methodologies(a: Run, b: Run, tasks: Sequence[str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """How either run measured, over all its models; agents are compared where both have the model."""
    methods = [dict(methodology(r.view, r.models, tasks, r.design.bands)) for r in (a, b)]
    both = [m for m in a.models if m in b.models]
    for run, fields in zip((a, b), methods, strict=True):
        fields["agent"] = _agents(run, both)
    return methods[0], methods[1]


def _agents(run: Run, models: Sequence[str]) -> dict[str, str] | None:
    """Agent of each of these models; None where the plan does not tell."""
    planned = run.view.planned
    if models and "agent" not in planned.column_names:
        return None
    rows = planned.group_by(["model", "agent"]).aggregate([]).to_pylist() if models else []
    return {m: ", ".join(sorted(str(r["agent"]) for r in rows if r["model"] == m)) for m in models}


def _merged(runs: tuple[Run, ...], tasks: frozenset[str], assumed: tuple[Apart, ...]) -> Merged:
    every = sorted(frozenset.union(*(r.tasks for r in runs)))
    models = [m for r in runs for m in r.models]
    replicated = tuple(m for m in dict.fromkeys(models) if models.count(m) > 1)
    left_out = {t: tuple(r.name for r in runs if t in r.tasks) for t in every if t not in tasks}
    done: dict[str, int] = {}
    tables, plans = [], []
    for run in runs:
        tables.append(_named(run, run.view.table, tasks, done))
        plans.append(_named(run, run.view.planned, tasks, done))
        _count_on(done, run.view.planned)
    return Merged(
        runs=runs,
        table=joined(tables),
        planned=pa.concat_tables(plans, promote_options="default"),
        probes=joined([_dated(run, run.view.probes) for run in runs]),
        design=_common(runs, pooled=bool(replicated or left_out)),
        tasks=tuple(sorted(tasks)),
        left_out=left_out,
        replicated=replicated,
        assumed=assumed,
        noted=tuple(Apart(runs[0].name, r.name, d) for r in runs[1:] for d in noted(runs[0].view, r.view)),
    )


def _common(runs: Sequence[Run], *, pooled: bool) -> Design:
    """The design of the oldest with the models of all. Nobody registered what pools runs, or leaves out tasks."""
    first = runs[0].design
    return replace(
        first,
        models=tuple(dict.fromkeys(m for r in runs for m in r.design.models)),
        buckets=tuple(dict.fromkeys(b for r in runs for b in r.design.buckets)),
        registered=all(r.design.registered for r in runs) and not pooled,
        looks=0,
    )


def _named(run: Run, table: pa.Table, tasks: frozenset[str], done: Mapping[str, int]) -> pa.Table:
    """Rows of the common tasks, with ids and dates of this run's own and repeats counted on from `done`.

    The plan's number of a date is counted on too, under the key DATE.
    """
    common = pc.is_in(table["task"], value_set=pa.array(sorted(tasks), pa.string()))
    table = table if pc.all(common).as_py() else table.filter(common)
    for name in IDS:
        if name in table.column_names:
            own = pc.binary_join_element_wise(run.name, table[name].cast(pa.string()), "/")
            table = table.set_column(table.column_names.index(name), name, own)
    if done and "repeat" in table.column_names:
        at = pc.index_in(_cell(table), value_set=pa.array(list(done), pa.string()))
        before = pc.fill_null(pa.array(list(done.values()), pa.int64()).take(at.combine_chunks()), fill_value=0)
        table = table.set_column(table.column_names.index("repeat"), "repeat", pc.add(table["repeat"], before))
    if DATE in table.column_names:
        later = pc.add(table[DATE], done.get(DATE, 0))
        table = table.set_column(table.column_names.index(DATE), DATE, later)
    return _dated(run, table).append_column(RUN, pa.repeat(pa.scalar(run.name, pa.string()), len(table)))


def _dated(run: Run, table: pa.Table) -> pa.Table:
    """Dates with the run's name behind them."""
    for name in DATES:
        if name in table.column_names:
            own = pc.binary_join_element_wise(table[name].cast(pa.string()), " (", run.name, ")", "")
            table = table.set_column(table.column_names.index(name), name, own)
    return table


def _count_on(done: dict[str, int], planned: pa.Table) -> None:
    """Add a run's repeats to those of the runs before it, by task and bucket, and its dates."""
    if DATE in planned.column_names:
        done[DATE] = done.get(DATE, 0) + int(pc.max(planned[DATE]).as_py() or 0)
    if "repeat" in planned.column_names and len(planned):
        cells = pa.table({"cell": _cell(planned), "repeat": planned["repeat"]})
        for row in cells.group_by("cell").aggregate([("repeat", "max")]).to_pylist():
            done[row["cell"]] = done.get(row["cell"], 0) + int(row["repeat_max"] or 0)


def _cell(table: pa.Table) -> pa.ChunkedArray:
    """Task and bucket of each row, as one text."""
    return pc.binary_join_element_wise(table["task"].cast(pa.string()), table["bucket"].cast(pa.string()), "\n")
