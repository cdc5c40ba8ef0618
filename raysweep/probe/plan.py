"""Which probes a round has: one sandbox per band, of a small fixed spec times the band's multipliers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from raysweep.config.bands import Band
from raysweep.ids import short_id
from raysweep.plan.asked import asked
from raysweep.units import MIB, Resources

SPEC = Resources(cpu=250, memory=64 * MIB)
"""What a probe counts as declaring; each row records it."""
UNDER, OVER, ROOMY = 0.9, 1.1, 1.25
"""Shares of the limit that are allocated just under and just past it; of the largest finite limit where uncapped."""
HELPER_BYTES = 8 * MIB
"""Left for the helper itself just under a limit: an interpreter takes 4 to 6 MiB."""
LEAST_BYTES = MIB
HOLD_MS = 300
"""How long an allocation is held: long enough for a kill that comes late."""
MOST_BURNERS = 8
LEAST_CPU = 20
"""Millicores below which a kernel's smallest quota (1 ms in 100) would pass for a limit that is not held."""
OVERHEAD_S = 3.0
"""Expected time of a probe beside its cpu burn: making and removing its sandbox, and the allocations."""


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class ProbeOrder:
    """One probe to run.

    moment: "before" or "after" the blocks of the occasion. *_mult: of the limit, None = uncapped. held_bytes is
    allocated first and must survive (None: nothing fits under so small a limit), past_bytes last and must be killed
    (None: no memory limit). burners: busy loops of cpu_s seconds side by side, more than the limit allows; 0
    without a cpu limit. now: the driver's wall time at dispatch.
    """

    run_id: str
    probe_id: str
    bucket: str
    occasion: str
    moment: str
    band: str
    memory_mult: float | None
    cpu_mult: float | None
    request: Resources
    limit: Resources
    held_bytes: int | None
    past_bytes: int | None
    burners: int
    cpu_s: float
    now: float
    spec: Resources = field(default=SPEC)
    image: str | None = None
    pids: int = 1024

    @property
    def attempt_id(self) -> str:
        """Its name among the attempts of a runner, and its sandbox's."""
        return self.probe_id


def plan_probes(
    bands: Sequence[Band],
    *,
    run_id: str,
    bucket: str,
    occasion: str,
    moment: str,
    number: int,
    cpu_s: float,
    now: float,
    image: str | None = None,
    pids: int = 1024,
    uniform: bool = True,
) -> list[ProbeOrder]:
    """The probes of one round, in the order of the bands; a band that leaves nothing to measure has none.

    number: of the round within the run (1, 2, ...), for names that no other round has.
    uniform: as `asked` takes it for trials.
    """
    limits = [asked(SPEC, band, uniform=uniform)[1].memory for band in bands]
    largest = max((limit for limit in limits if limit is not None), default=None)
    orders = []
    for band in bands:
        request, limit = asked(SPEC, band, uniform=uniform)
        request, limit = Resources(request.cpu, request.memory), Resources(limit.cpu, limit.memory)
        held, past = _allocations(limit.memory, largest)
        burners = 0 if (limit.cpu or 0) < LEAST_CPU else min(MOST_BURNERS, (limit.cpu or 0) // 1000 + 1)
        if (held, past, burners) == (None, None, 0):
            continue
        orders.append(
            ProbeOrder(
                run_id=run_id,
                probe_id=short_id("probe-", [run_id, bucket, occasion, moment, number, band.name]),
                bucket=bucket,
                occasion=occasion,
                moment=moment,
                band=band.name,
                memory_mult=band.limit.memory,
                cpu_mult=band.limit.cpu,
                request=request,
                limit=limit,
                held_bytes=held,
                past_bytes=past,
                burners=burners,
                cpu_s=cpu_s,
                now=now,
                image=image,
                pids=pids,
            )
        )
    return orders


def _allocations(limit: int | None, largest: int | None) -> tuple[int | None, int | None]:
    """Bytes to hold and bytes to die of, for a memory limit or none."""
    if limit is None:
        return (None, None) if largest is None else (round(ROOMY * largest), None)
    under = round(UNDER * limit) - HELPER_BYTES
    return (under if under >= LEAST_BYTES else None), round(OVER * limit)


def round_seconds(bands: int, slots: int, cpu_s: float) -> float:
    """How long a round is expected to take: bands side by side in the slots, `cpu_s` and a margin each."""
    return -(-bands // slots) * (cpu_s + OVERHEAD_S)
