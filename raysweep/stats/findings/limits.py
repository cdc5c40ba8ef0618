"""What the bands of a ledger bound: their multipliers, their order, and whether the limits were seen to be real."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.cube import Cube
from raysweep.stats.finding import Caution
from raysweep.stats.findings import enforcement
from raysweep.stats.findings.probes import Measured

RESOURCES = ("memory", "cpu", "storage")
CONFIRMED, UNTESTED, NOT_ENFORCED, NO_LIMIT = "confirmed", "not put to the test", "not enforced", "no limit"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limit multipliers of a band: inf where it is uncapped, None where the ledger does not say."""

    memory: float | None = None
    cpu: float | None = None
    storage: float | None = None

    @property
    def known(self) -> bool:
        """Memory and cpu are known; storage may be left out of a ledger."""
        return self.memory is not None and self.cpu is not None

    @property
    def rank(self) -> tuple[float, float, float]:
        """Sort key: memory, cpu, storage."""
        return (self.memory or 0.0, self.cpu or 0.0, self.storage or 0.0)

    def above(self, other: Limits) -> bool:
        """No resource tighter than in `other` and at least one wider."""
        return self.rank != other.rank and all(a >= b for a, b in zip(self.rank, other.rank, strict=True))


def band_limits(table: pa.Table, planned: pa.Table, bands: Sequence[str]) -> dict[str, Limits]:
    """Multipliers per band, from the plan, else from the attempts.

    A null limit is "none" where the same resource has a request, else unknown.
    """
    found: dict[str, dict[str, float]] = {band: {} for band in bands}
    for source in (planned, table):
        for resource in RESOURCES:
            for band, multiplier in _multipliers(source, resource):
                if band in found:
                    found[band].setdefault(resource, multiplier)
    return {band: Limits(**values) for band, values in found.items()}


def _multipliers(table: pa.Table, resource: str) -> Iterator[tuple[str, float]]:
    limit, request = f"limit_{resource}_mult", f"request_{resource}_mult"
    if not {limit, request, "band"} <= set(table.column_names):
        return
    for row in table.group_by("band").aggregate([(limit, "max"), (request, "max")]).to_pylist():
        if row[f"{limit}_max"] is not None:
            yield row["band"], float(row[f"{limit}_max"])
        elif row[f"{request}_max"] is not None:
            yield row["band"], math.inf


def ceilings_above(limits: Mapping[str, Limits], bands: Sequence[str], floor: str) -> tuple[str, ...]:
    """Bands wider than the floor, ascending; in the sweep's own order where the ledger has no multipliers."""
    if not all(limits[band].known for band in bands):
        return tuple(bands[bands.index(floor) + 1 :])
    wider = [band for band in bands if limits[band].above(limits[floor])]
    return tuple(sorted(wider, key=lambda band: (limits[band].rank, bands.index(band))))


def widest(limits: Mapping[str, Limits], bands: Sequence[str], resource: str) -> tuple[str, ...]:
    """The least constrained bands for a resource; the last band in the sweep's order where multipliers are unknown."""
    values = {band: getattr(limits[band], resource) for band in bands}
    if not bands or any(v is None for v in values.values()):
        return tuple(bands[-1:])
    most = max(values.values())
    return tuple(band for band, v in values.items() if v == most)


def limit_status(
    final: pa.Table, cube: Cube, band: str, limits: Limits, probes: Measured | None = None
) -> tuple[str, tuple[Caution, ...]]:
    """CONFIRMED, UNTESTED, NOT_ENFORCED or NO_LIMIT, with what a reader must know.

    Confirmed: kills of trials or probes were seen, or throttling where only the cpu is limited. Not enforced: a probe
    or a trial went past a limit, or a probe was stopped by what should not be there. final: final attempts of all
    bands; probes: those of this band.
    """
    faults = probes.faults() if probes is not None else ()
    if faults:
        return NOT_ENFORCED, faults
    found = {c.code: c for c in enforcement.checks(final.filter(pc.equal(final["band"], band)), cube)}
    broken = [
        found[code]
        for code, bound in (
            ("not_enforced", True),
            ("memory_not_enforced", limits.memory != math.inf),
            ("cpu_not_enforced", limits.cpu != math.inf),
        )
        if bound and code in found
    ]
    if broken:
        return NOT_ENFORCED, tuple(Caution(c.code, f"{band}: {c.message}", c.remedy) for c in broken)
    capped_cpu = limits.cpu is not None and limits.cpu != math.inf
    if probes is not None and (probes.memory_confirmed or (probes.memory is None and probes.cpu_confirmed)):
        return CONFIRMED, ()
    if "enforced" in found or ("untested" not in found and capped_cpu and "throttled" in found):
        return CONFIRMED, ()
    if "untested" not in found and not capped_cpu:
        return NO_LIMIT, ()
    who = "trial" if probes is None else "trial or probe"
    caution = Caution(
        "enforcement_unconfirmed",
        f"nothing confirmed that the limit of {band} was enforced: no {who} was killed or throttled by it",
        "let probes run (`probes: {enabled: true}`), or let a trial that needs too much run under this band",
    )
    return UNTESTED, (caution,)
