"""What a task's spec should say, from what its trials used: rounded up to powers of two.

A value is raised when a trial needed more than the task declares. It is lowered only where so many trials were seen
that the largest of them stands for all but 5 % of trials (Wilks' tolerance bound, 59 trials at 95 %); else it stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysweep.stats.arrays import Ints
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.declared import censored, cut_short, unknown
from raysweep.stats.findings.observed import Observed
from raysweep.stats.findings.plain import plain
from raysweep.stats.methods.calibration import trials_for_maximum

MIB = 1024**2
TIME_MARGIN = 2.0
"""As maintainers of benchmarks do by hand: twice the longest time seen (terminal-bench #1506)."""
LEAST_MIB = 16
"""No memory below this is proposed: an interpreter with its common imports takes 8."""
SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Proposal:
    """One value of one task's spec: "memory" (bytes), "cpu" (millicores) or "agent_time" (seconds).

    declared, proposed: None where unknown; equal where nothing is to change. observed: the largest value seen, None
    without one. reason: why, for a person.
    """

    task: str
    quantity: str
    declared: float | None
    observed: float | None
    proposed: float | None
    reason: str
    finding: Finding

    @property
    def changes(self) -> bool:
        """There is something to write."""
        return self.proposed is not None and self.proposed != self.declared


def proposals(o: Observed, confidence: float) -> tuple[Proposal, ...]:
    """Memory, cpu and agent time of every task, in this order."""
    enough = trials_for_maximum(SHARE, confidence)
    return tuple(_proposals(o, enough))


def _proposals(o: Observed, enough: int) -> Iterator[Proposal]:
    memory = "mem_anon_peak" if np.isfinite(o.measures["mem_anon_peak"]).any() else "mem_peak"
    measures = {"memory": memory, "cpu": "cpu_sustained", "agent_time": "agent_seconds"}
    everything = o.by_task(np.arange(len(o.task)))
    sides = []
    for quantity, measure in measures.items():
        bands, widest = o.widest(quantity)
        trials = np.flatnonzero(widest & np.isfinite(o.measures[measure]))
        sides.append((quantity, measure, "+".join(bands) or None, o.by_task(trials)))
    for code, task in enumerate(o.tasks):
        for quantity, measure, arm, by_task in sides:
            declared, mine = float(o.declared[quantity][code]), by_task[code]
            value = declared if math.isfinite(declared) else None
            decision: tuple[float | None, str, tuple[Caution, ...]]
            if value is None:
                decision = None, "declared value unknown", (unknown(quantity, task),)
            elif not len(mine):
                why = Caution("nothing_observed", f"no trial of {task} has {measure}", "see `raysweep doctor`")
                decision = None, "nothing observed", (why,)
            else:
                decision = _decision(o, quantity, measure, value, mine, everything[code], enough)
            seen = float(o.measures[measure][mine].max()) if len(mine) else None
            yield _proposal(task, quantity, value, seen, arm, len(mine), *decision)


def _proposal(
    task: str, quantity: str, declared: float | None, observed: float | None, arm: str | None, trials: int,
    proposed: float | None, reason: str, warnings: tuple[Caution, ...],
) -> Proposal:  # fmt: skip
    finding = plain(
        f"proposed_{quantity}", None, arm, Facet(FacetKind.TASK, task), proposed, n_tasks=1,
        n_attempts=trials, method=reason, warnings=warnings,
    )  # fmt: skip
    return Proposal(task, quantity, declared, observed, proposed, reason, finding)


def _decision(
    o: Observed, quantity: str, measure: str, declared: float, mine: Ints, all_bands: Ints, enough: int
) -> tuple[float, str, tuple[Caution, ...]]:
    """Value, reason, cautions for one task: `mine`, its trials in the least constrained bands; `all_bands`, in all."""
    cut = censored(o, quantity)
    need = _need(o, quantity, float(o.measures[measure][mine].max()), declared, mine, all_bands)
    proposed, reason = _decide(need, _rounded(quantity, need, declared), declared, len(mine), enough)
    return proposed, reason, (*cut_short(quantity, int(cut[mine].sum())), *_cache(o, quantity, mine, proposed))


def _need(o: Observed, quantity: str, most: float, declared: float, mine: Ints, all_bands: Ints) -> float:
    """What the task needs: the largest value seen, and more than any limit at which a trial of it was cut short."""
    if quantity == "agent_time":
        return TIME_MARGIN * max(most, declared if bool(o.timed_out[all_bands].any()) else 0.0)
    if quantity == "cpu":
        return most
    if bool(o.killed[mine].any()):
        most = math.nextafter(most, math.inf)  # cut where it stood: the next power of two, at least
    killed = all_bands[o.killed[all_bands]]
    for band in np.unique(o.band[killed]).tolist():
        limit = o.limits[o.bands[band]].memory
        if limit is not None and math.isfinite(limit):
            most = max(most, math.nextafter(limit * declared, math.inf))
    return most


def _rounded(quantity: str, need: float, declared: float) -> float:
    """Up to a power of two: of MiB, of cores (quarters and halves only where less than a core is declared), of s."""
    if quantity == "memory":
        return max(LEAST_MIB, power_of_two(need / MIB)) * MIB
    if quantity == "cpu":
        return max(1.0 if declared >= 1000 else 0.25, power_of_two(need / 1000)) * 1000
    return max(1.0, power_of_two(need))


def power_of_two(value: float) -> float:
    """The smallest power of two that is at least `value`; 0 for 0."""
    if value <= 0:
        return 0.0
    mantissa, exponent = math.frexp(value)
    return math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)


def _decide(need: float, rounded: float, declared: float, trials: int, enough: int) -> tuple[float, str]:
    if need > declared:
        return rounded, "raised: more was needed (time: twice what was taken) than is declared"
    if rounded >= declared:
        return declared, "kept: the declared value holds what was seen"
    if trials < enough:
        return declared, f"kept: {trials} trials are too few to lower it ({enough} needed)"
    return rounded, f"lowered: the largest of {trials} trials stands for {SHARE:.0%} of trials"


def _cache(o: Observed, quantity: str, mine: Ints, proposed: float) -> tuple[Caution, ...]:
    """With its page cache the task took more than is proposed: harmless if the cache can be dropped."""
    if quantity != "memory":
        return ()
    most = float(np.nan_to_num(o.measures["mem_peak"][mine]).max())
    if most <= proposed:
        return ()
    message = f"with page cache the largest peak was {most / MIB:.0f} MiB, more than the proposed value"
    return (Caution("page_cache", message, "probe the task under the proposed limit before you adopt it"),)
