"""Numbers as words: the roundings and turns of phrase that every sentence and table shares. No number is computed."""

from __future__ import annotations

from raysweep.stats.finding import Finding

SCEPTICAL = 3.0
"""Gaps below this many points call for caution until the resource settings are known to match (the study's advice)."""


def number(value: float, *, signed: bool = False) -> str:
    """Whole points from 10 up, else one decimal without a trailing zero; never "-0"."""
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
    text = "0" if text == "-0" else text
    return f"+{text}" if signed and value > 0 and text != "0" else text


def percent(value: float) -> str:
    """A fraction as "93 %"."""
    return f"{number(100 * value)} %"


def p_value(p: float) -> str:
    """A p-value as "p = 0.034" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def level_text(f: Finding) -> str:
    """The level of a finding's interval as "95 %"; "" where it has none."""
    return "" if f.level is None else f"{100 * f.level:g} %"


def span(low: float, high: float, *, signed: bool = False) -> str:
    """Both ends as "2.1 to 4.5"."""
    return f"{number(low, signed=signed)} to {number(high, signed=signed)}"


def listed(names: list[str]) -> str:
    """Names as "1x", "1x or 2x", "1x, 2x or 3x"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
