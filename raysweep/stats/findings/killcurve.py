"""The kill curve: which share of trials m x the memory spec would have killed, judged by the least constrained trials.

An estimate, not a bound: sampled anon + shmem misses spikes, the high-water mark counts page cache that the kernel
would have dropped, and a program may behave differently under a limit. So both curves are reported, beside what the
limits of the bands really killed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.declared import grid
from raysweep.stats.findings.observed import Observed
from raysweep.stats.findings.plain import plain
from raysweep.stats.methods.calibration import clopper_pearson

CURVES = {"kill_curve_anon": "mem_anon_peak", "kill_curve_peak": "mem_peak"}
ESTIMATE = Caution(
    "estimate",
    "an estimate, not a bound: page cache overstates it, missed spikes understate it, behaviour changes under a limit",
    "read it beside the measured kills; run the band itself before you rely on it",
)


def kill_curve(o: Observed, level: float) -> tuple[Finding, ...]:
    """Per model: both curves over the grid of multiples, and kills_measured at the bands' own multipliers."""
    findings: list[Finding] = []
    for code, model in enumerate(o.models):
        mine = np.asarray(o.model == code, dtype=np.bool_)
        curves = list(_curves(o, model, mine, level))
        findings += curves
        findings += _measured(o, model, mine, level, curves)
    return tuple(findings)


def _curves(o: Observed, model: str, mine: Bools, level: float) -> Iterator[Finding]:
    bands, widest = o.widest("memory")
    tops = [o.limits[b].memory for b in bands]
    top = tops[0] if tops and tops[0] is not None else np.inf
    for estimand, measure in CURVES.items():
        ratio = o.measures[measure] / o.declared["memory"][o.task]
        use = mine & widest & np.isfinite(ratio)
        if not use.any():
            why = Caution("no_traces", f"{model}: no trial has {measure} and a declared memory", "run it uncapped")
            yield plain(estimand, model, "+".join(bands) or None, None, None, warnings=(why,))
            continue
        warnings = (ESTIMATE, *_capped(bands, top))
        for multiple in grid(o):
            if multiple < top or not np.isfinite(top):
                over = int(np.sum((ratio[use] > multiple) | o.killed[use]))
                yield _share(o, estimand, model, "+".join(bands), multiple, over, use, level, warnings)


def _capped(bands: tuple[str, ...], top: float) -> tuple[Caution, ...]:
    if not np.isfinite(top):
        return ()
    message = f"there is no uncapped arm: peaks are those of {', '.join(bands)}, cut at {top:g} x the spec"
    return (Caution("capped_traces", message, "add an uncapped band"),)


def _measured(o: Observed, model: str, mine: Bools, level: float, curves: list[Finding]) -> Iterator[Finding]:
    """Share of trials with an OOM kill in each band with a memory limit, set against the curves."""
    for code, band in enumerate(o.bands):
        multiple = o.limits[band].memory
        use = mine & (o.band == code)
        if multiple is None or not np.isfinite(multiple) or not use.any():
            continue
        kills = int(np.sum(o.killed[use]))
        expected = {f.estimand: f for f in curves if f.facet == Facet(FacetKind.MULTIPLE, multiple)}
        low, high = (float(x) for x in clopper_pearson(kills, int(use.sum()), level))
        warnings = _disagreement(band, kills / int(use.sum()), low, high, expected)
        yield _share(o, "kills_measured", model, band, multiple, kills, use, level, warnings)


def _disagreement(band: str, seen: float, low: float, high: float, expected: dict[str, Finding]) -> tuple[Caution, ...]:
    """A caution where the measured share lies beyond both curves by more than chance."""
    ends = [f for f in expected.values() if f.value is not None and f.low is not None and f.high is not None]
    if not ends:
        return ()
    least, most = min(f.low or 0.0 for f in ends), max(f.high or 0.0 for f in ends)
    if high >= least and low <= most:
        return ()
    values = " to ".join(f"{100 * v:.1f}" for v in sorted({f.value or 0.0 for f in ends}))
    message = f"{band} killed {100 * seen:.1f} % of trials where the curve says {values} %"
    return (Caution("curve_disagrees", message, "trust the measured kills: trials behave differently under a limit"),)


def _share(
    o: Observed, estimand: str, model: str, arm: str, multiple: float, events: int, use: Bools, level: float,
    warnings: tuple[Caution, ...],
) -> Finding:  # fmt: skip
    n = int(use.sum())
    limits: tuple[Floats, Floats] = clopper_pearson(events, n, level)
    return plain(
        estimand, model, arm, Facet(FacetKind.MULTIPLE, multiple), events / n,
        low=float(limits[0]), high=float(limits[1]),
        level=level, method="share of trials, Clopper-Pearson", resampled_over="tasks fixed",
        n_tasks=len(np.unique(o.task[use])), n_attempts=n, warnings=warnings,
    )  # fmt: skip
