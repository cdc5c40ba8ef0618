"""What the reducer must know of a sweep, as plain values: stats depends on neither config nor plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Swept:
    """A factor besides the band: its levels in the order of the sweep, one of them the reference, and their values."""

    name: str
    reference: str
    levels: tuple[str, ...]
    values: tuple[Any, ...] = ()

    def value(self, level: str) -> Any:
        """What a level stands for; None where no values are known."""
        return dict(zip(self.levels, self.values, strict=False)).get(level)


@dataclass(frozen=True, slots=True)
class Design:
    """Names in their stated order, and the registered analysis.

    bands: ascending as the sweep lists them; reference is one of them. models, buckets: as the sweep lists them; what
    the ledger holds beyond these names is added behind them. delta: a fraction (0.02 = 2 points). registered: the
    analysis section was hashed into the ledger before the first trial. replicates: bootstrap draws.

    bucket_hours: the hour at the middle of each bucket, in the order of buckets and in the sweep's zone; empty when
    unknown or where the period is not a day. period_hours: length of the buckets' period. contrasts: the registered
    bands against the reference, empty = all of them. looks: planned sequential looks, 0 = none. factors: what is swept
    besides the band; all other findings are of the arms at their references. level_contrasts: the
    registered levels of each factor, (factor, levels), against its reference at the reference band.

    simulated: outcomes were drawn, no sandbox ran.
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
    factors: tuple[Swept, ...] = ()
    level_contrasts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    simulated: bool = False


PRIMARY_OF = {"infra_rate": "infra_rate_resource"}
"""Estimand whose contrasts a registered primary stands for where the names differ: resource causes are the arm's."""


def is_registered(design: Design, estimand: str, arm: str | None, reference: str | None, bucket: str | None) -> bool:
    """Whether a tasks-sampled contrast of bands was registered, so that its finding is confirmatory.

    True for the primary estimand of a registered band against the reference, over all buckets (bucket None). arm,
    reference: bands, or bands with a level where the design is that of one factor (`findings.factors`). Findings with
    tasks fixed or over dates are never registered: do not ask for them.
    """
    primary = PRIMARY_OF.get(design.primary, design.primary)
    return (
        design.registered
        and estimand in {design.primary, primary}
        and bucket is None
        and reference == design.reference
        and arm is not None
        and arm != design.reference
        and (not design.contrasts or arm in design.contrasts)
    )
