"""From readings of a task's cgroup to samples and to the counters of one phase (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raysweep.record.evidence import PhaseCounters, Sample
from raysweep.sandbox.cgroup.reading import Reading


def sample_of(reading: Reading, t: float) -> Sample:
    """A reading as a sample, `t` seconds after the sandbox was ready."""
    return Sample(
        t=t,
        memory=reading.memory,
        unreclaimable=reading.unreclaimable,
        anon=reading.anon,
        cpu_usec=reading.cpu_usec,
        pids=reading.pids,
    )


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def cpu_peak(samples: Sequence[Sample], window_s: float) -> float | None:
    """Largest mean cpu in millicores over windows of `window_s` seconds; a shorter phase counts as idle around it."""
    points = [(s.t, s.cpu_usec) for s in samples if s.cpu_usec is not None]
    if len(points) < 2:
        return None
    best, start = 0.0, 0
    for end in range(1, len(points)):
        # the latest start that still is a whole window before the end (readings jitter by some milliseconds)
        while start + 1 < end and points[end][0] - points[start + 1][0] >= 0.95 * window_s:
            start += 1
        seconds = max(points[end][0] - points[start][0], window_s)
        best = max(best, (points[end][1] - points[start][1]) / seconds / 1000)
    return best


def task_peak_of_phase(first: Reading, last: Reading, *, resettable: bool) -> int | None:
    """High-water mark of the limit's cgroup in this phase: reset at its start (v1), else known only when it grew."""
    if resettable or last.task_peak is None or first.task_peak is None or last.task_peak > first.task_peak:
        return last.task_peak
    return None


def phase_counters(
    phase: str,
    first: Reading,
    last: Reading,
    samples: Sequence[Sample],
    *,
    version: int,
    logged: Sequence[bool],
    disk_full: bool | None,
) -> PhaseCounters:
    """Counters of `phase` between two readings, with the samples taken in it (both readings included).

    logged: kills in this phase that the kernel log told of, True where the own limit was full; the last one decides,
    since it is the one that ended something.
    """
    moved = _grown(first.ancestor, last.ancestor)
    return PhaseCounters(
        phase=phase,
        oom_kills=_grown(first.oom_kills, last.oom_kills),
        own_limit_ooms=_grown(first.own_ooms, last.own_ooms) if version == 2 else None,
        oom_memcg_own=logged[-1] if version == 1 and logged else None,
        limit_peak_bytes=task_peak_of_phase(first, last, resettable=version == 1),
        ancestor_full=None if moved is None else moved > 0,
        mem_peak_bytes=last.leaf_peak,
        mem_anon_peak_bytes=_largest(s.anon for s in samples),
        unreclaimable_last_bytes=last.unreclaimable,
        cpu_peak_1s=cpu_peak(samples, 1.0),
        cpu_peak_10s=cpu_peak(samples, 10.0),
        throttled_us=_grown(first.throttled_us, last.throttled_us),
        nr_throttled=_grown(first.nr_throttled, last.nr_throttled),
        pids_peak=_largest([last.leaf_pids_peak, *(s.pids for s in samples)]),
        pids_denied=_grown(first.pids_denied, last.pids_denied),
        disk_full=disk_full,
        cpu_used_us=_grown(first.cpu_usec, last.cpu_usec),
    )
