"""Were the limits real? Probes, declared enforcement, kills and peaks against the limits, throttling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.record.schema import counter_name
from raysweep.stats.arrays import Bools, Floats
from raysweep.stats.columns import flags, numbers, pairs
from raysweep.stats.cube import Cube, final_arm_codes
from raysweep.stats.finding import Check
from raysweep.stats.findings.probes import Measured, probe_checks
from raysweep.units import format_bytes
from raysweep.vocabulary import CheckStatus

OVER = 1.02
"""A sampled anonymous peak this much above the limit shows that nothing held it (below: rounding, late samples)."""


def checks(table: pa.Table, cube: Cube, measured: Mapping[str, Measured] | None = None) -> Iterator[Check]:
    """What probes showed, kills and peaks against finite memory limits, what the sandbox declared, throttling.

    `table`: attempts (labelled, with is_final); peaks and kills are those of final ones. measured: of the probes.
    """
    measured = measured or {}
    yield from probe_checks(measured)
    final = flags(table["is_final"])
    if not final.any():
        return
    finite = [m for m in measured.values() if m.memory is not None]
    # What probes say is said there: trials neither contradict a limit that was not held nor ask for a test that was.
    said = {"enforced"} if any(m.memory_faults() for m in finite) else set()
    if any(m.memory_confirmed for m in finite):
        said.add("untested")
    yield from (c for c in _memory(table, final) if c.code not in said)
    yield from _declared(table["enforcement"])
    yield from _throttled(table, cube)


def _memory(table: pa.Table, final: Bools) -> Iterator[Check]:
    limit = numbers(pc.coalesce(table["limit_memory_admitted"], table["limit_memory_asked"]))
    peak = np.fmax.reduce(_of_phases(table, "mem_anon_peak_bytes"))
    died = flags(pc.equal(table["cause"], "oom_limit"))
    finite = np.isfinite(limit) & final
    if loose := int(np.sum(died & np.isnan(limit) & final)):
        message = f"{loose} trials without a memory limit are said to have died of it"
        yield Check("odd_cause", CheckStatus.WARNING, message, "report this as a bug of raysweep, with the evidence")
    if not finite.any():
        return
    killed = died | flags(pc.equal(table["cause"], "oom_verifier"))
    for kills_of_phase in _of_phases(table, "oom_kills"):
        killed |= kills_of_phase > 0
    kills, n = int(np.sum(killed & finite)), int(finite.sum())
    if over := int(np.sum((peak > limit * OVER) & final)):
        message = f"{over} trials held more anonymous memory than their limit: it was not enforced"
        yield Check("not_enforced", CheckStatus.WARNING, message, "run `raysweep doctor`; do not use these contrasts")
    elif kills:
        message = f"memory limits were seen to kill: {kills} of {n} trials with a finite limit met an OOM kill"
        yield Check("enforced", CheckStatus.OK, f"{message}, none was seen above its limit", "")
    else:
        seen = peak[finite & np.isfinite(peak)]
        most = f"; the largest peak was {format_bytes(int(seen.max()))}" if len(seen) else ""
        message = f"no kill in {n} trials with a finite memory limit{most}: enforcement was not put to the test"
        yield Check(
            "untested", CheckStatus.NOTE, message, "probe the limits, or add a band that is too tight on purpose"
        )


def _of_phases(table: pa.Table, counter: str) -> list[Floats]:
    """A counter in each phase that the table has it for, the agent's first."""
    names = (counter_name(phase, counter) for phase in ("agent", "verifier", "setup"))
    return [numbers(table[name]) for name in names if name in table.column_names]


def _declared(enforcement: pa.ChunkedArray) -> Iterator[Check]:
    """What the sandbox said of any attempt that it cannot enforce."""
    names, values = pairs(enforcement)
    lacking = names.filter(pc.is_in(values, value_set=pa.array(["none", "not enforced"])))
    for name in sorted(lacking.unique().to_pylist()):
        serious = name in {"memory", "cpu", "pids"}
        yield Check(
            f"{name}_not_enforced",
            CheckStatus.WARNING if serious else CheckStatus.NOTE,
            f"{name} was measured but not enforced by this sandbox",
            "bands say nothing about it here; run as root or on a backend that enforces it",
        )


def _throttled(table: pa.Table, cube: Cube) -> Iterator[Check]:
    hit = numbers(table["throttled_us"]) > 0
    if not hit.any():
        return
    arm = final_arm_codes(table, cube.arms)
    all_, hits = (np.bincount(arm[part & (arm >= 0)], minlength=len(cube.arms)) for part in (np.ones_like(hit), hit))
    if not hits.any():
        return
    parts = [
        f"{key.model}/{key.band} {100 * n / of:.0f} %" for key, n, of in zip(cube.arms, hits, all_, strict=True) if n
    ]
    message = f"the cpu quota throttled trials: {', '.join(parts)}"
    yield Check(
        "throttled", CheckStatus.NOTE, message, "slower, not dead: look at time-outs and durations beside success"
    )
