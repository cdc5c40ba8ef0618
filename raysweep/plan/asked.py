"""What an arm asks for: multiplier x the task's declared spec, in millicores and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from raysweep.config.bands import Band, Multipliers
from raysweep.units import Resources


def multiply(spec: Resources, multipliers: Multipliers) -> Resources:
    """Multiplier x spec, rounded to whole millicores and bytes; None without a multiplier or a spec."""

    def one(amount: int | None, multiplier: float | None) -> int | None:
        return None if amount is None or multiplier is None else round(amount * multiplier)

    return Resources(
        one(spec.cpu, multipliers.cpu), one(spec.memory, multipliers.memory), one(spec.storage, multipliers.storage)
    )


def asked(spec: Resources, band: Band, *, uniform: bool = True) -> tuple[Resources, Resources]:
    """(request, limit) of a band on a task, with the 1m of uniform QoS; without it where `uniform` is false.

    Kubernetes puts a pod whose request equals its limit for cpu and memory into the class Guaranteed and all others
    into Burstable, which differ in eviction and OOM order. So that arms differ by their bounds alone, the cpu request
    is then 1 millicore lower: every arm is Burstable. It is done here, for every kind of sandbox, and nowhere else;
    only `sandbox: {kind: kubernetes, qos: native}` goes without.
    """
    request, limit = multiply(spec, band.request), multiply(spec, band.limit)
    if (
        uniform
        and None not in (request.cpu, request.memory)
        and (request.cpu, request.memory) == (limit.cpu, limit.memory)
    ):
        request = replace(request, cpu=(request.cpu or 1) - 1)
    return request, limit


def vanishing(spec: Resources, band: Band) -> Iterator[str]:
    """Keys of a band that round a task's amount to nothing, which would be no bound at all, or a bound of its own."""
    for side, multipliers in (("request", band.request), ("limit", band.limit)):
        amounts = multiply(spec, multipliers)
        for resource in ("cpu", "memory", "storage"):
            if getattr(amounts, resource) == 0:
                yield f"{side}.{resource}"
