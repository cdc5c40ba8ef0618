"""What a finding is about beside model, arm, reference and bucket: one kind, and which one of that kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | tuple[str, ...] | None


class FacetKind(StrEnum):
    """Kinds of facets. Where the value is None, the number is about all of that kind, like a spread between them."""

    TASK = "task"
    DATE = "date"
    WEEKDAY = "weekday"
    BUCKET = "bucket"
    """Bucket against bucket, a value per bucket, or a spread between buckets; the bucket is the finding's own."""
    OCCASION = "occasion"
    REPEAT = "repeat"
    BAND = "band"
    BANDS = "bands"
    """A set of bands, or bands in their order: a tuple."""
    BAND_BY_BUCKET = "band_by_bucket"
    """Contrasts of bands between buckets; the value is the bucket that they are compared with."""
    RUN = "run"
    RUN_BY_BUCKET = "run_by_bucket"
    FACTOR = "factor"
    """A swept factor other than the band, by its name; arm and reference hold its levels."""
    OUTCOME = "outcome"
    REASON = "reason"
    """Why a trial has no result."""
    BOUNDS = "bounds"
    LOOK = "look"
    SIMULTANEOUS = "simultaneous"
    """An interval that holds together with those of the model's other contrasts."""
    BETWEEN = "between"
    """A contrast of two bands neither of which is the reference, whose interval holds together with all others'."""
    TEST = "test"
    RHYTHM = "rhythm"
    PERIOD = "period"
    """A period of the periodogram, in hours."""
    QUANTILE = "quantile"
    TRIALS = "trials"
    """A group of trials by their result: all, passing or failing."""
    MULTIPLE = "multiple"
    """A multiple of what the task declares."""
    PROBE = "probe"
    COMPARE = "compare"
    """A - B at all common bands (None), at one band, or A at one and B at another band (a tuple)."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One kind and which one of it; within: what this is a part of, like a quantile within the trials of a task."""

    kind: FacetKind
    value: Value = None
    within: Facet | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any] | None) -> Facet | None:
        """The facet of a finding in report.json; None for null."""
        if item is None:
            return None
        value = tuple(item["value"]) if isinstance(item["value"], list) else item["value"]
        return cls(FacetKind(item["kind"]), value, cls.of(item["within"]))

    @property
    def names(self) -> tuple[str, ...]:
        """The value as names: none, one, or those of the tuple."""
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (_text(self.value),)

    def __str__(self) -> str:
        """As a reader sees it: "task sort", "quantile 0.9 of trials passing"."""
        unit = " h" if self.kind is FacetKind.PERIOD else ""
        words = " ".join(filter(None, [self.kind.replace("_by_", " x "), "/".join(self.names) + unit]))
        return words if self.within is None else f"{words} of {self.within}"


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
