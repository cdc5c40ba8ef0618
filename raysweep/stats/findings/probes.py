"""Enforcement as measured: what control sandboxes showed of each band's limits, before and after the trials.

`measure` makes one summary per band of the rows of record.probes; checks, findings and cautions say what it means.
A busy machine gives a probe less cpu than its limit, so only more than the limit is a failure to enforce it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import pyarrow as pa

from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Check, Finding
from raysweep.stats.findings.plain import plain
from raysweep.units import format_bytes, format_duration
from raysweep.vocabulary import CheckStatus

Probe: TypeAlias = Mapping[str, Any]

PROBE = Facet(FacetKind.PROBE)
"""The facet of all findings of probes."""
CPU_OVER = 1.15
"""Share of the cpu limit beyond which it was not held: a quota counts per 100 ms, a burn may begin with a whole one."""
REMEDY = "run `raysweep doctor`; contrasts with this band say nothing about its limits"


@dataclass(frozen=True, slots=True)
class Measured:
    """The probes of one band. rows: those that ran to their end; failed: platform causes of the others, counted.

    memory, cpu: the limits that were probed, in bytes and millicores, None where the band has none.
    """

    band: str
    memory: int | None
    cpu: int | None
    rows: tuple[Probe, ...]
    failed: Mapping[str, int]

    @property
    def held(self) -> list[Probe]:
        """Probes whose allocation just under the limit (uncapped: above the largest finite one) lived or was killed."""
        return [r for r in self.rows if r["held"] is not None]

    @property
    def past(self) -> list[Probe]:
        """Probes whose allocation just past the limit was killed or lived."""
        return [r for r in self.rows if r["killed"] is not None]

    @property
    def kills(self) -> list[Probe]:
        """Probes that were killed past the limit, by that very limit."""
        return [r for r in self.past if r["own_limit"]]

    @property
    def shares(self) -> list[float]:
        """Cpu used over wall time, as a share of the cpu limit, of each probe that was measured."""
        if self.cpu is None:
            return []
        return [1000 * r["cpu_used_s"] / r["cpu_wall_s"] / self.cpu for r in self.rows if r["cpu_used_s"] is not None]

    @property
    def memory_confirmed(self) -> bool:
        """The memory limit was seen to kill what was past it and nothing below."""
        return bool(self.kills) and not self.memory_faults()

    @property
    def cpu_confirmed(self) -> bool:
        """The cpu quota was seen to throttle, and nothing got more than the limit."""
        throttled = any((r["nr_throttled"] or 0) > 0 for r in self.rows)
        return bool(self.shares) and throttled and max(self.shares) <= CPU_OVER

    def faults(self) -> tuple[Caution, ...]:
        """Why the band's limits are not what they are said to be; empty where no probe says so."""
        return (*self.memory_faults(), *self.cpu_faults())

    def memory_faults(self) -> tuple[Caution, ...]:
        """Why the memory limit, or that there is none, does not hold."""
        faults = []
        lived = [r for r in self.past if not r["killed"]]
        if lived and self.memory is not None:
            message = (
                f"{self.band}: {len(lived)} of {len(self.past)} probes held {format_bytes(lived[0]['past_bytes'])} past"
                f" a memory limit of {format_bytes(self.memory)}: it was not enforced"
            )
            faults.append(Caution("probe_past_lived", message, REMEDY))
        died = [r for r in self.held if not r["held"]]
        if self.memory is None and died:
            message = (
                f"{self.band}: {len(died)} of {len(self.held)} probes could not hold"
                f" {format_bytes(died[0]['held_bytes'])}, although the band has no memory limit"
            )
            faults.append(Caution("probe_uncapped_died", message, "run on a machine with more free memory"))
        elif own := [r for r in died if r["held_cause"] == "oom_limit"]:
            message = (
                f"{self.band}: {len(own)} of {len(self.held)} probes were killed at"
                f" {format_bytes(own[0]['held_bytes'])}, below the memory limit of {format_bytes(self.memory)}"
            )
            faults.append(Caution("probe_died_below", message, REMEDY))
        return tuple(faults)

    def cpu_faults(self) -> tuple[Caution, ...]:
        """Why the cpu limit does not hold."""
        over = [s for s in self.shares if s > CPU_OVER]
        if not over:
            return ()
        message = (
            f"{self.band}: {len(over)} of {len(self.shares)} probes got up to {max(over):.2g} times the cpu limit:"
            " it was not enforced"
        )
        return (Caution("probe_cpu_over", message, REMEDY),)


def measure(probes: pa.Table | None) -> dict[str, Measured]:
    """What was measured, per band in the order in which they were probed; empty without probes."""
    bands: dict[str, list[Probe]] = {}
    for row in probes.to_pylist() if probes is not None else ():
        bands.setdefault(row["band"], []).append(row)
    return {
        band: Measured(
            band=band,
            memory=rows[0]["limit_memory_asked"],
            cpu=rows[0]["limit_cpu_asked"],
            rows=tuple(r for r in rows if r["platform"] is None),
            failed=Counter(r["platform"] for r in rows if r["platform"] is not None),
        )
        for band, rows in bands.items()
    }


def probe_checks(measured: Mapping[str, Measured]) -> Iterator[Check]:
    """Every fault as a warning, what held as one line, and probes that failed themselves."""
    for m in measured.values():
        for fault in m.faults():
            yield Check(fault.code, CheckStatus.WARNING, fault.message, fault.remedy)
    sound = [m for m in measured.values() if m.rows and not m.faults()]
    if sound:
        message = f"limits as measured by probes {_when(sound)}: {'; '.join(map(_sentence, sound))}"
        open_ = [m.band for m in sound if m.memory is not None and not m.memory_confirmed]
        remedy = f"no probe shows that the memory limit of {', '.join(open_)} kills: see the probes' causes"
        yield Check("probes", CheckStatus.NOTE if open_ else CheckStatus.OK, message, remedy if open_ else "")
    failed: Counter[str] = Counter()
    for m in measured.values():
        failed.update(m.failed)
    if failed:
        causes = ", ".join(f"{cause} {n}" for cause, n in sorted(failed.items()))
        message = f"{failed.total()} probes ended for a platform cause and say nothing about limits ({causes})"
        yield Check(
            "probes_failed", CheckStatus.NOTE, message, "nothing to do where others of the same band ended well"
        )


def _when(measured: Sequence[Measured]) -> str:
    """Around which occasions, and between which hours."""
    rows = [r for m in measured for r in m.rows]
    occasions = dict.fromkeys(f"{r['bucket']} of {r['occasion']}" for r in rows)
    moments = " and ".join(m for m in ("before", "after") if any(r["moment"] == m for r in rows))
    first, last = min(r["t_queued"] for r in rows), max(r["t_queued"] for r in rows)
    names = list(occasions)
    where = ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]}, {len(names)} occasions"
    return f"{moments} the trials ({where}; {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC)"


def _sentence(m: Measured) -> str:
    """What the probes of one band showed."""
    parts = []
    if m.held:
        lived = sum(1 for r in m.held if r["held"])
        parts.append(f"{format_bytes(m.held[0]['held_bytes'])} lived in {lived} of {len(m.held)}")
    if m.past:
        times = sorted(r["kill_s"] for r in m.kills if r["kill_s"] is not None)
        span = f" within {format_duration(times[0])} to {format_duration(times[-1])}" if times else ""
        of = " or ".join(sorted({r["kill_of"] for r in m.kills if r["kill_of"]}))
        who = f" ({of})" if of else ""
        size = format_bytes(m.past[0]["past_bytes"])
        parts.append(f"{size} killed by the limit in {len(m.kills)} of {len(m.past)}{span}{who}")
    if m.shares and m.cpu is not None:
        low, high = (s * m.cpu / 1000 for s in (min(m.shares), max(m.shares)))
        parts.append(f"cpu {low:.3g} to {high:.3g} of {m.cpu / 1000:g} in {len(m.shares)}")
    return f"{m.band}: {', '.join(parts) or 'nothing measured'}"


def probe_findings(measured: Mapping[str, Measured]) -> Iterator[Finding]:
    """The same as numbers per band: shares of probes, seconds to the kill, cpu against the limit (smallest to largest).

    Findings have the facet PROBE; n_attempts counts probes, n_dates occasions' dates.
    """
    for m in measured.values():
        faults = m.faults()
        if m.held:
            name = "probe_memory_held" if m.memory is not None else "probe_uncapped_held"
            yield _share(name, m, [bool(r["held"]) for r in m.held], faults)
        if m.past:
            yield _share("probe_memory_killed", m, [bool(r["own_limit"]) for r in m.past], faults)
        times = [r["kill_s"] for r in m.kills if r["kill_s"] is not None]
        if times:
            yield _spread("probe_kill_seconds", m, times, ())
        if m.shares:
            yield _spread("probe_cpu_of_limit", m, m.shares, m.cpu_faults())


def _share(name: str, m: Measured, flags: Sequence[bool], faults: tuple[Caution, ...]) -> Finding:
    return plain(
        name, None, m.band, PROBE, sum(flags) / len(flags),
        method="share of probes", n_attempts=len(flags), n_dates=_dates(m), warnings=faults,
    )  # fmt: skip


def _spread(name: str, m: Measured, values: Sequence[float], faults: tuple[Caution, ...]) -> Finding:
    return plain(
        name, None, m.band, PROBE, median(values), low=min(values), high=max(values),
        method="median of probes, smallest and largest", n_attempts=len(values), n_dates=_dates(m), warnings=faults,
    )  # fmt: skip


def _dates(m: Measured) -> int:
    return len({r["occasion"] for r in m.rows})


def refusals(measured: Mapping[str, Measured], run: str | None = None) -> tuple[str, ...]:
    """Sentences for the verdict: which bands (of `run`, where there are several) may not be called what they are."""
    where = "" if run is None else f"{run}: "
    return tuple(f"Not enforced: {where}{fault.message}." for m in measured.values() for fault in m.faults())
