"""What the reducer must know of a sweep, as plain values: stats depends on neither config nor plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Design:
    """Names in their stated order, and the registered analysis.

    bands: ascending as the sweep lists them; reference is one of them. models, buckets: as the sweep lists them; what
    the ledger holds beyond these names is added behind them. delta: a fraction (0.02 = 2 points). registered: the
    analysis section was hashed into the ledger before the first trial. replicates: bootstrap draws.

    bucket_hours: the hour at the middle of each bucket, in the order of buckets and in the sweep's zone; empty when
    unknown or where the period is not a day. period_hours: length of the buckets' period. contrasts: the registered
    bands against the reference, empty = all of them. looks: planned sequential looks, 0 = none.
    """

    reference: str
    bands: tuple[str, ...]
    models: tuple[str, ...]
    buckets: tuple[str, ...]
    seed: int
    primary: str = "success"
    delta: float = 0.02
    confidence: float = 0.95
    registered: bool = True
    replicates: int = 10_000
    bucket_hours: tuple[float, ...] = ()
    period_hours: float = 24.0
    contrasts: tuple[str, ...] = ()
    looks: int = 0
