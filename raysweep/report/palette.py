"""Colours that people with any colour vision can tell apart (Okabe and Ito's set), for light and dark."""

from __future__ import annotations

from collections.abc import Sequence

OUTCOMES: dict[str, tuple[str, str]] = {  # outcome: fill, text on it
    "pass": ("#007d5b", "#ffffff"),
    "partial": ("#56b4e9", "#00243a"),
    "fail": ("#9aa3ad", "#14181d"),
    "oom_limit": ("#c44e00", "#ffffff"),
    "oom_verifier": ("#f2a266", "#3a1700"),
    "oom_node": ("#8a3600", "#ffffff"),
    "disk_full": ("#e69f00", "#2e2000"),
    "pids_limit": ("#f0c761", "#2e2000"),
    "cpu_limit": ("#d9b38c", "#2e1a00"),
    "evicted_own_use": ("#a86b00", "#ffffff"),
    "oom_unknown": ("#5b5f66", "#ffffff"),
    "agent_error": ("#f0e442", "#2c2a00"),
    "model_api": ("#0072b2", "#ffffff"),
    "verifier_error": ("#7a5ea8", "#ffffff"),
    "cancelled": ("#cfd4da", "#22272e"),
}
PLATFORM = ("#cc79a7", "#2d0b1f")
LIGHT, LIGHT_FULL = (255, 255, 255), (0, 110, 92)
DARK, DARK_FULL = (30, 36, 43), (74, 205, 170)


def slug(outcome: str) -> str:
    """A CSS class for an outcome."""
    return "o-" + "".join(c if c.isalnum() else "-" for c in outcome)


def outcome_css(outcomes: Sequence[str]) -> str:
    """Classes of the outcomes that occur; a cause without a colour of its own is the platform's."""
    rules = []
    for outcome in outcomes:
        fill, ink = OUTCOMES.get(outcome, PLATFORM)
        rules.append(f".{slug(outcome)}{{fill:{fill};background:{fill}}} .{slug(outcome)}-t{{fill:{ink}}}")
    return "\n".join(rules)


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    r, g, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return r, g, blue


def _ink(colour: tuple[int, int, int]) -> str:
    """Black or white, whichever contrasts more (relative luminance of WCAG)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#101418" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _rules(low: tuple[int, int, int], high: tuple[int, int, int]) -> str:
    rules = []
    for i in range(11):
        colour = _mix(low, high, i / 10)
        rules.append(f"td.h{i}{{background:rgb{colour};color:{_ink(colour)}}}")
    return "".join(rules)


def heat_css() -> str:
    """Classes h0..h10 of the heatmap, light and dark."""
    return f"{_rules(LIGHT, LIGHT_FULL)}\n@media (prefers-color-scheme: dark){{{_rules(DARK, DARK_FULL)}}}"
