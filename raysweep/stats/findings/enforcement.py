"""Were the limits real? Declared enforcement, kills and peaks against the limits, throttling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.cube import Cube
from raysweep.stats.finding import Check
from raysweep.units import format_bytes

OVER = 1.02
"""A sampled anonymous peak this much above the limit shows that nothing held it (below: rounding, late samples)."""


def checks(table: pa.Table, cube: Cube) -> Iterator[Check]:
    """Kills and peaks against finite memory limits, then what the sandbox declared, then throttling."""
    final = table.filter(table["is_final"])
    if not len(final):
        return
    yield from _memory(final)
    yield from _declared(final)
    yield from _throttled(final, cube)


def _memory(final: pa.Table) -> Iterator[Check]:
    limit = pc.coalesce(final["limit_memory_admitted"], final["limit_memory_asked"])
    peak = pc.max_element_wise(final["mem_anon_peak_bytes"], final["verifier_mem_anon_peak_bytes"])
    over = _count(pc.greater(pc.cast(peak, pa.float64()), pc.multiply(pc.cast(limit, pa.float64()), OVER)))
    finite = pc.is_valid(limit)
    if not _count(finite):
        return
    causes = pc.is_in(final["cause"], value_set=pa.array(["oom_limit", "oom_verifier"]))
    kills = _count(pc.and_(finite, pc.or_(causes, pc.fill_null(pc.greater(final["oom_kills"], 0), fill_value=False))))
    loose = _count(pc.and_(pc.is_null(limit), pc.equal(final["cause"], "oom_limit")))
    n = _count(finite)
    if over:
        message = f"{over} trials held more anonymous memory than their limit: it was not enforced"
        yield Check("not_enforced", "warning", message, "run `raysweep doctor`; do not use these contrasts")
    elif kills:
        message = f"memory limits were seen to kill: {kills} of {n} trials with a finite limit met an OOM kill"
        yield Check("enforced", "ok", f"{message}, none was seen above its limit", "")
    else:
        most = pc.max(pc.filter(peak, finite)).as_py()
        seen = f"; the largest peak was {format_bytes(most)}" if most is not None else ""
        message = f"no kill in {n} trials with a finite memory limit{seen}: enforcement was not put to the test"
        yield Check("untested", "note", message, "probe the limits, or add a band that is too tight on purpose")
    if loose:
        message = f"{loose} trials without a memory limit are said to have died of it"
        yield Check("odd_cause", "warning", message, "report this as a bug of raysweep, with the evidence")


def _declared(final: pa.Table) -> Iterator[Check]:
    """What the sandbox said it cannot enforce (`enforcement` column)."""
    lacking: Counter[str] = Counter()
    for item in pc.unique(_as_text(final["enforcement"])).to_pylist():
        for pair in (item or "").split(";"):
            name, _, value = pair.partition("=")
            if value in {"none", "not enforced"}:
                lacking[name] += 1
    for name in sorted(lacking):
        serious = name in {"memory", "cpu", "pids"}
        yield Check(
            f"{name}_not_enforced",
            "warning" if serious else "note",
            f"{name} was measured but not enforced by this sandbox",
            "bands say nothing about it here; run as root or on a backend that enforces it",
        )


def _as_text(column: pa.ChunkedArray) -> pa.Array:
    """Map values as "k=v;k=v" text; maps cannot be compared in Arrow."""
    return pa.array(
        [None if m is None else ";".join(f"{k}={v}" for k, v in m) for m in column.to_pylist()], pa.string()
    )


def _throttled(final: pa.Table, cube: Cube) -> Iterator[Check]:
    hit = pc.fill_null(pc.greater(final["throttled_us"], 0), fill_value=False)
    if not _count(hit):
        return
    parts = []
    for arm in cube.arms:
        mine = pc.and_(pc.equal(final["_model"], arm.model), pc.equal(final["band"], arm.band))
        n = _count(mine)
        if n and _count(pc.and_(mine, hit)):
            parts.append(f"{arm.model}/{arm.band} {100 * _count(pc.and_(mine, hit)) / n:.0f} %")
    message = f"the cpu quota throttled trials: {', '.join(parts)}"
    yield Check("throttled", "note", message, "slower, not dead: look at time-outs and durations beside success")


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.cast(pc.fill_null(mask, fill_value=False), pa.int64())).as_py() or 0)
