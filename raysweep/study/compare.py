"""Comparing two runs, or two models of one run: reading them, choosing the sides, refusing what was measured apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import IncompleteError, InputError, Problem, bad_input
from raysweep.study.sources import design_of

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.record.reader import LedgerView
    from raysweep.stats.compare import Comparison
    from raysweep.stats.findings.gap import ComparedModel
    from raysweep.stats.methodology import Difference


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What may be stated beside the runs.

    temporal_sd: spread between dates, a fraction, where dates are too few. assumed: fields of methodology to take as
    alike. floor, ceiling: lowest and highest band of a mismatch.
    """

    temporal_sd: float | None = None
    assumed: tuple[str, ...] = ()
    floor: str | None = None
    ceiling: str | None = None


NOTHING_STATED = CompareOptions()


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, the runs it was made of, and what was assumed or noted of their methodology."""

    comparison: Comparison
    views: Sequence[LedgerView]
    assumed: tuple[Difference, ...]
    noted: tuple[Difference, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed and noted, for a person."""
        notes = []
        if self.assumed:
            notes.append(f"assumed comparable, though not known to be alike: {'; '.join(map(str, self.assumed))}")
        if self.noted:
            notes.append(f"the runs also differ in {'; '.join(map(str, self.noted))}")
        return tuple(notes)


def compare_runs(
    paths: Sequence[RunPath], models: tuple[str, str] | None = None, options: CompareOptions = NOTHING_STATED
) -> Compared:
    """Compare two runs, or two models of one.

    Args:
        paths: one run or two.
        models: the model of each side, where it is not clear which is meant.
        options: what is stated beside them.

    Raises:
        InputError: the two cannot be compared, or are not known to have been measured alike. Within one run methodology
            is the same by construction.
        IncompleteError: a ledger is empty.

    """
    from raysweep.stats.compare import Question, compare
    from raysweep.stats.methodology import noted

    views = [_read(path) for path in paths]
    a, b = _sides(paths, views, models)
    assumed: tuple[Difference, ...] = ()
    if len(paths) == 1:
        if options.assumed:
            raise bad_input("one run has one methodology", "leave it out", key="--assume-comparable")
    else:
        assumed = _alike(a, b, views, options.assumed)
    question = Question(
        temporal_sd=options.temporal_sd,
        floor=options.floor,
        ceiling=options.ceiling,
        assumed=tuple(d.field for d in assumed),
    )
    also = tuple(noted(*views)) if len(views) == 2 else ()
    return Compared(compare(a, b, question), views, assumed, also)


def _read(path: RunPath) -> LedgerView:
    from raysweep.record.reader import read_ledger

    view = read_ledger(path)
    if not len(view.table):
        raise IncompleteError(f"{path}: the ledger holds no attempt; run the sweep first")
    return view


def _sides(
    paths: Sequence[RunPath], views: Sequence[LedgerView], models: tuple[str, str] | None
) -> tuple[ComparedModel, ComparedModel]:
    """The two sides; InputError when it is not clear which models are meant."""
    from raysweep.stats.broken import usable
    from raysweep.stats.cube import build_cube
    from raysweep.stats.findings.gap import ComparedModel

    if len(views) == 2 and views[0].facts.run_id == views[1].facts.run_id:
        raise bad_input("both are the same run", "give two runs, or one run and --models A B", file=str(paths[1]))
    sides = [usable(v.table, v.planned) for v in views]
    cubes = [build_cube(s.table, s.planned, design_of(v)) for s, v in zip(sides, views, strict=True)]
    if len(cubes) == 1:
        if models is None or models[0] == models[1]:
            remedy = f"choose two of {', '.join(cubes[0].models)} with --models A B, or give a second run"
            raise bad_input("one run needs two models to compare", remedy, key="--models")
        return ComparedModel(models[0], cubes[0], models[0]), ComparedModel(models[1], cubes[0], models[1])
    chosen = models or _only([c.models for c in cubes], paths)
    names = [(p.resolve() if isinstance(p, Path) else p).name for p in paths]
    runs = names if len(set(names)) == 2 else [str(p) for p in paths]
    labels = runs if chosen[0] == chosen[1] else [f"{m} ({r})" for m, r in zip(chosen, runs, strict=True)]
    return ComparedModel(labels[0], cubes[0], chosen[0]), ComparedModel(labels[1], cubes[1], chosen[1])


def _only(known: Sequence[Sequence[str]], paths: Sequence[RunPath]) -> tuple[str, str]:
    """The one model of each run, or the one that both have."""
    if all(len(models) == 1 for models in known):
        return known[0][0], known[1][0]
    shared = [m for m in known[0] if m in known[1]]
    if len(shared) == 1:
        return shared[0], shared[0]
    raise InputError(
        Problem(f"has {len(models)} models", f"choose with --models A B; here: {', '.join(models)}", str(path))
        for models, path in zip(known, paths, strict=True)
    )


def _alike(
    a: ComparedModel, b: ComparedModel, views: Sequence[LedgerView], assumed: Sequence[str]
) -> tuple[Difference, ...]:
    """What is assumed comparable; InputError names the fields in which the runs are not known to be alike."""
    from raysweep.stats.compare import comparable
    from raysweep.stats.methodology import differences, methodology, refuse_differences

    tasks, bands = comparable(a, b)
    # A label is the model's name with the levels of swept factors behind it.
    methods = [methodology(v, s.model.partition(" [")[0], tasks, bands) for v, s in zip(views, (a, b), strict=True)]
    return refuse_differences(differences(*methods), assumed, a.label, b.label)


def provenance_by_path(paths: Sequence[RunPath], views: Sequence[LedgerView]) -> dict[str, Any]:
    """Where the numbers come from, by the path that was given."""
    return {
        str(path): {
            "run_id": view.facts.run_id,
            "plan_id": view.facts.plan_id,
            "registration_sha256": view.registration["sha256"],
            "environment": view.environment,
        }
        for path, view in zip(paths, views, strict=True)
    }
