"""Declared against observed: what trials used beside what their tasks declare, for the set and for each task.

From the least constrained bands, where limits cut peaks least. Descriptive: no interval but that of shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.observed import MEASURES, UNITS, Observed
from raysweep.stats.findings.plain import plain
from raysweep.stats.methods.calibration import clopper_pearson

QUANTILES = {"0.5": 0.5, "0.95": 0.95, "max": 1.0}
MULTIPLES = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
"""Multiples of the spec that are always reported, beside those of the run's own bands."""
MARGIN = "1 - largest observed / declared"
SHARE = "share of trials, Clopper-Pearson"


def grid(o: Observed) -> tuple[float, ...]:
    """Multiples of the spec to tell: the usual ones and those of the bands."""
    own = {v for limit in o.limits.values() for v in (limit.memory, limit.cpu) if v is not None and np.isfinite(v)}
    return tuple(sorted({*MULTIPLES, *own}))


@dataclass(frozen=True, slots=True)
class MeasureUse:
    """One measure in the least constrained bands (`arm`), n trials of the ledger.

    values: (n,). spec: (T,), what it stands against. cut: (n,), the trial was cut short, so that it needed more.
    trials: indices of those with a value. level: of intervals.
    """

    o: Observed
    measure: str
    quantity: str
    arm: str | None
    values: Floats
    spec: Floats
    cut: Bools
    trials: Ints
    multiples: tuple[float, ...]
    level: float

    @classmethod
    def of(cls, o: Observed, measure: str, quantity: str, level: float) -> MeasureUse:
        """The side of one measure."""
        values = o.measures[measure]
        bands, widest = o.widest(quantity)
        trials = np.flatnonzero(widest & np.isfinite(values))
        arm = "+".join(bands) or None
        return cls(
            o, measure, quantity, arm, values, o.declared[quantity], censored(o, quantity), trials, grid(o), level
        )


def declared_against_observed(o: Observed, level: float) -> tuple[Finding, ...]:
    """Quantiles, shares that m x the spec clears, and margins: of the set (in multiples of the spec), then per task."""
    findings: list[Finding] = []
    for measure, quantity in MEASURES.items():
        side = MeasureUse.of(o, measure, quantity, level)
        findings += _set(side)
        findings += _tasks(side)
    findings += _declared(o)
    return tuple(findings)


def _declared(o: Observed) -> Iterator[Finding]:
    for quantity in UNITS:
        for task, value in zip(o.tasks, o.declared[quantity], strict=True):
            known = bool(np.isfinite(value))
            yield plain(
                f"declared_{quantity}", None, None, Facet(FacetKind.TASK, task), float(value) if known else None,
                n_tasks=1, warnings=() if known else (unknown(quantity, task),),
            )  # fmt: skip


def unknown(quantity: str, task: str) -> Caution:
    """The declared value of a task is not in the run directory."""
    if quantity == "agent_time":
        message = f"the plan of this run does not say the agent time limit of {task} (older plans did not)"
        return Caution("declared_unknown", message, "run `raysweep plan` and a new sweep with this version")
    message = f"the ledger does not say what {task} declares for {quantity}"
    return Caution("declared_unknown", message, "record what was asked and its multiplier")


def censored(o: Observed, quantity: str) -> Bools:
    """Trials whose need is larger than what was seen: (n,)."""
    if quantity == "memory":
        return o.killed
    return o.timed_out if quantity == "agent_time" else np.zeros(len(o.task), dtype=np.bool_)


def cut_short(quantity: str, trials: int) -> tuple[Caution, ...]:
    """A caution where this many trials were cut short; none for 0."""
    if not trials:
        return ()
    if quantity == "memory":
        message = f"{trials} trials were OOM-killed: they needed more than was seen"
        return (Caution("cut_peaks", message, "run it uncapped"),)
    message = f"{trials} trials ran into their time limit: they needed longer than was seen"
    return (Caution("cut_time", message, "run these tasks again with a longer limit"),)


def _set(s: MeasureUse) -> Iterator[Finding]:
    """Of all tasks together, in multiples of each task's own spec."""
    o, ratio = s.o, s.values / s.spec[s.o.task]
    trials = s.trials[np.isfinite(ratio[s.trials])]
    if not len(trials):
        why = Caution(
            "nothing_observed", f"no trial has both {s.measure} and a declared value", "see `raysweep doctor`"
        )
        yield plain(f"{s.measure}_of_spec", None, s.arm, None, None, warnings=(why,))
        return
    warnings = cut_short(s.quantity, int(s.cut[trials].sum()))
    passed = o.passed[trials]
    for group, part in (("all", trials), ("passing", trials[passed]), ("failing", trials[~passed])):
        n_tasks = len(np.unique(o.task[part]))
        yield from _quantiles(s, f"{s.measure}_of_spec", ratio[part], Facet(FacetKind.TRIALS, group), n_tasks, warnings)
    yield from _clears(s, trials, ratio[trials], None)
    worst = int(trials[np.argmax(ratio[trials])])
    named = Caution("worst_task", f"the largest is of {o.tasks[o.task[worst]]}", "see the task's own line")
    yield plain(
        f"{s.measure}_margin", None, s.arm, None, 1 - float(ratio[worst]), method=MARGIN,
        n_tasks=len(np.unique(o.task[trials])), n_attempts=len(trials), warnings=(named, *warnings),
    )  # fmt: skip


def _tasks(s: MeasureUse) -> Iterator[Finding]:
    """Per task, in the measure's own unit."""
    for code, mine in enumerate(s.o.by_task(s.trials)):
        if not len(mine):
            continue
        task, declared, passed = Facet(FacetKind.TASK, s.o.tasks[code]), float(s.spec[code]), s.o.passed[mine]
        for group, part in (("passing", mine[passed]), ("failing", mine[~passed])):
            facet = Facet(FacetKind.TRIALS, group, task)
            yield from _quantiles(s, s.measure, s.values[part], facet, 1, ())
        if np.isfinite(declared):
            yield plain(
                f"{s.measure}_margin", None, s.arm, task, 1 - float(s.values[mine].max()) / declared, method=MARGIN,
                n_tasks=1, n_attempts=len(mine), warnings=cut_short(s.quantity, int(s.cut[mine].sum())),
            )  # fmt: skip
            yield from _clears(s, mine, s.values[mine] / declared, task)


def _quantiles(
    s: MeasureUse, estimand: str, values: Floats, group: Facet, n_tasks: int, warnings: Sequence[Caution]
) -> Iterator[Finding]:
    if not len(values):
        return
    for name, quantile in zip(QUANTILES, np.quantile(values, list(QUANTILES.values())).tolist(), strict=True):
        yield plain(
            estimand, None, s.arm, Facet(FacetKind.QUANTILE, name, group), quantile,
            method="quantile over trials", n_tasks=n_tasks, n_attempts=len(values), warnings=tuple(warnings),
        )  # fmt: skip


def _clears(s: MeasureUse, trials: Ints, ratio: Floats, task: Facet | None) -> Iterator[Finding]:
    """Shares of `trials` that m x the spec clears; one that was cut short is cleared by no multiple."""
    needs = np.sort(np.where(s.cut[trials], np.inf, ratio))
    n, counts = len(trials), np.searchsorted(needs, s.multiples, side="right")
    lows, highs = clopper_pearson(counts.astype(np.float64), n, s.level)
    n_tasks = 1 if task else len(np.unique(s.o.task[trials]))
    for m, k, low, high in zip(s.multiples, counts.tolist(), lows.tolist(), highs.tolist(), strict=True):
        facet = Facet(FacetKind.MULTIPLE, m, task)
        yield plain(
            f"{s.measure}_clears", None, s.arm, facet, k / n, low=low, high=high, level=s.level, method=SHARE,
            resampled_over="tasks fixed", n_tasks=n_tasks, n_attempts=n,
        )  # fmt: skip
