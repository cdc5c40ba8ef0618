"""Numbers and labels as text: the one place that rounds, for terminal and HTML alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raysweep.stats import Finding
from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.levels import sides
from raysweep.stats.wording import number, p_value
from raysweep.units import MIB, format_duration

NONE = "–"  # noqa: RUF001 - an en dash is what a reader expects for "no value"
MINUS = "−"  # noqa: RUF001 - the typographic minus, so that signs line up with plus


def name(estimand: str) -> str:
    """The label of an estimand."""
    return ESTIMANDS[estimand].label


FORMATS: Mapping[str, Callable[[float], str]] = {
    "fraction": lambda v: f"{number(100 * v)} %",
    "bytes": lambda v: f"{number(v / MIB)} MiB",
    "seconds": format_duration,
    "usd": lambda v: f"$ {v:.2g}",
    "p": p_value,
    "multiplier": lambda v: f"{v:g}x",
    "hours": lambda v: f"{number(v)} h",
    "tokens": lambda v: f"{v:,.0f} tokens",
    "ms": lambda v: f"{v:.0f} ms",
}


def amount(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A value in its unit, without the unit of points; NONE for None."""
    if value is None:
        return NONE
    if unit in FORMATS:
        return FORMATS[unit](value)
    return number(value, signed=signed).replace("-", MINUS)


def value_text(f: Finding) -> str:
    """The value of a finding; contrasts carry their sign."""
    return amount(f.value, f.unit, signed=f.reference is not None)


def interval_text(f: Finding) -> str:
    """Both ends, as in "low to high", or NONE where there is no interval."""
    if f.low is None or f.high is None:
        return NONE
    signed = f.reference is not None
    if f.level is None:  # bounds, not a confidence interval
        return f"between {amount(f.low, f.unit, signed=signed)} and {amount(f.high, f.unit, signed=signed)}"
    return f"{amount(f.low, f.unit, signed=signed)} to {amount(f.high, f.unit, signed=signed)}"


def what_text(f: Finding) -> str:
    """What a finding is about: "heavy: uncapped against 1x", "heavy: agent_timeout 2x against 1x at band 1x"."""
    if (names := sides(f)) is not None:
        level, reference, band = names
        where = f" in {f.bucket}" if f.bucket else ""
        return f"{f.model}: {f.facet_name} {level} against {reference} at band {band}{where}"
    parts = [f.arm or ("all bands" if f.model else "all arms")]
    if f.is_of(FacetKind.BUCKET) and f.reference:
        parts = [f"{f.bucket} against {f.reference}"]
    elif f.reference:
        parts.append(f"against {f.reference}")
    if f.bucket and not f.is_of(FacetKind.BUCKET):
        parts.append(f"in {f.bucket}")
    if f.facet and f.facet not in {Facet(FacetKind.BUCKET), Facet(FacetKind.PROBE)}:
        parts.append(f"({f.facet})")
    return (f"{f.model}: " if f.model else "") + " ".join(parts)


def how_text(f: Finding) -> str:
    """What the interval is: level, method, resampled over what, from how much."""
    over = f", over {f.resampled_over}" if f.resampled_over else ""
    if f.is_of(FacetKind.PROBE):
        return f"{f.method}; {f.n_attempts} probes, {f.n_dates} dates"
    level = f"{100 * f.level:g} % interval, " if f.level is not None else ""
    return f"{level}{f.method}{over}; {f.n_tasks} tasks, {f.n_attempts} attempts, {f.n_dates} dates"
