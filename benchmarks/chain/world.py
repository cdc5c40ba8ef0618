"""What is true of each finding of a report, computed from the stated parameters of the sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from raysweep.config import Sweep
from raysweep.sandbox.simulated import Truth
from raysweep.stats import Finding
from raysweep.stats.facet import FacetKind

POINTS = 100.0


@dataclass(frozen=True)
class World:
    """The expectations of one sweep over tasks of the stated population.

    moved: by bucket, what its hour and the luck of the sweep's own dates and occasions add to success, in fractions:
    an interval over tasks claims nothing about other dates. attempts: mean number of attempts of a trial by band, over
    all sweeps of this design (a resource death ends one attempt in so many).
    """

    success: Mapping[str, float]
    infra: Mapping[str, float]
    hour: Mapping[str, float]
    moved: Mapping[str, float]
    sd: Mapping[str, float]
    attempts: Mapping[str, float]

    @classmethod
    def of(cls, sweep: Sweep, truth: Truth, dates: list[str], attempts: Mapping[str, float]) -> World:
        """The world of a sweep whose planned dates have these labels."""
        hour = {b: truth.amplitude * math.cos(2 * math.pi * (truth.phases[b] - truth.peak)) for b in sweep.bucket_names}
        bands = [b.name for b in sweep.bands]
        return cls(
            success={b: truth.success[b] for b in bands},
            infra={b: truth.infra[b] for b in bands},
            hour=hour,
            moved={b: hour[b] + fmean(truth.luck(d, b) for d in dates) for b in hour},
            sd={"bucket": math.sqrt(fmean(v * v for v in hour.values())), "occasion": truth.occasion_sd}
            | {"date": truth.date_sd},
            attempts=attempts,
        )

    def rate(self, estimand: str, band: str, bucket: str | None) -> float:
        """success, q_trial, success_given_clean or infra_rate_resource of a band, as a fraction."""
        q = self.infra[band]
        if estimand == "q_trial":
            return q
        if estimand == "infra_rate_resource":
            return q / self.attempts[band]
        p = self.success[band] + (self.moved[bucket] if bucket else fmean(self.moved.values()))
        return p if estimand == "success" else p / (1 - q)

    def contrast(self, estimand: str, f: Finding) -> float:
        """Arm minus reference, points."""
        assert f.arm is not None
        assert f.reference is not None
        return POINTS * (self.rate(estimand, f.arm, f.bucket) - self.rate(estimand, f.reference, f.bucket))

    def kitagawa(self, f: Finding) -> float:
        """The two parts of the decomposition, points."""
        c = {b: self.rate("success_given_clean", b, f.bucket) for b in (str(f.arm), str(f.reference))}
        (ca, cr), (qa, qr) = c.values(), (self.infra[b] for b in c)
        part = -(ca + cr) / 2 * (qa - qr) if f.estimand == "decomposition_infra" else (1 - (qa + qr) / 2) * (ca - cr)
        return POINTS * part

    def buckets(self, f: Finding) -> float:
        """A bucket minus the first one, points."""
        return POINTS * (self.moved[str(f.bucket)] - self.moved[str(f.reference)])

    def spread(self, f: Finding) -> float:
        """A standard deviation, points, or a variance, points squared."""
        sd = POINTS * self.sd["" if f.facet is None else str(f.facet.kind)]
        return sd * sd if f.unit == "points^2" else sd


RATES = ("success", "q_trial", "success_given_clean", "infra_rate_resource")
SPREADS = ("time_of_day", "occasion_sd", "date_sd", "var_bucket", "var_occasion", "var_date")
CLIPPED = ("time_of_day", "occasion_sd", "date_sd", "band_by_bucket")
"""Estimates that are never below 0, and so have no mean error that says anything."""
KINDS: tuple[tuple[Callable[[Finding], bool], str, Callable[[World, Finding], float]], ...] = (
    (
        lambda f: f.is_of(FacetKind.BUCKET) and f.estimand == "success",
        "success, bucket against bucket",
        lambda w, f: w.buckets(f),
    ),
    (lambda f: f.estimand == "band_by_bucket", "band_by_bucket", lambda _w, _f: 0.0),
    (lambda f: f.is_of(FacetKind.BAND_BY_BUCKET), "success, band x bucket", lambda _w, _f: 0.0),
    (lambda f: f.is_of(FacetKind.SIMULTANEOUS), "success, contrasts together", lambda w, f: w.contrast("success", f)),
    (lambda f: f.estimand in SPREADS, "{estimand}", lambda w, f: w.spread(f)),
    (lambda f: f.estimand.startswith("decomposition_"), "{estimand}", lambda w, f: w.kitagawa(f)),
    (
        lambda f: f.estimand in RATES and f.facet is None and f.reference is not None,
        "{estimand}, contrast, {where}",
        lambda w, f: w.contrast(f.estimand, f),
    ),
    (
        lambda f: f.estimand in RATES and f.facet is None,
        "{estimand}, one arm, {where}",
        lambda w, f: w.rate(f.estimand, str(f.arm), f.bucket),
    ),
)
"""Which findings form a kind, its name, and what is true of each; the first that fits counts."""


def cell(f: Finding) -> tuple[str, Callable[[World], float]] | None:
    """The kind of a finding with an interval, as a row of the table, and its truth; None where none is judged here."""
    if f.low is None or f.high is None or f.level is None:
        return None
    where = "in a bucket" if f.bucket else "all buckets"
    for fits, name, truth in KINDS:
        if fits(f):
            kind = f"{name.format(estimand=f.estimand, where=where)} | {f.resampled_over}"
            return kind, lambda w, truth=truth: truth(w, f)
    return None
