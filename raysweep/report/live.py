"""A look at a sweep that goes on, as a table and as a line of JSON; its label stands with every number."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysweep.report.terminal import MARKS
from raysweep.report.text import interval_text, name, value_text
from raysweep.stats.finding import Finding
from raysweep.stats.live import REPEATED, Snapshot
from raysweep.vocabulary import CheckStatus

OPEN = ("peek", "look", "stopped")
"""Labels of a sweep that goes on, or went on after it was decided."""


def snapshot_line(snapshot: Snapshot, **more: Any) -> dict[str, Any]:
    """{attempts, done, planned, complete, label, findings} and `more`; every finding carries the label's code."""
    label = asdict(snapshot.label)
    if snapshot.label.code in OPEN:
        label["message"] += f"; {REPEATED}"
    return {
        **more,
        "attempts": snapshot.attempts,
        "done": snapshot.done,
        "planned": snapshot.planned,
        "complete": snapshot.complete,
        "label": label,
        "findings": [{"label": snapshot.label.code, **f.document()} for f in snapshot.findings],
    }


def live_view(snapshot: Snapshot, state: str) -> RenderableType:
    """The look as it is shown in a terminal. state: one line on where the sweep is."""
    mark, style = MARKS[snapshot.label.status]
    counts = f"{snapshot.done} of {snapshot.planned} trials done, {snapshot.attempts} attempts"
    parts: list[RenderableType] = [
        Text(f"{state}: {counts}", style="bold"),
        Text.assemble((f"{mark:>2}  ", style), snapshot.label.message, (f" -> {snapshot.label.remedy}", "dim")),
    ]
    if snapshot.label.code in OPEN:
        parts.append(Text(f" {MARKS[CheckStatus.WARNING][0]}  {REPEATED}", style=MARKS[CheckStatus.WARNING][1]))
    if snapshot.findings:
        parts.append(_table(snapshot))
    return Group(*parts)


def _table(snapshot: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, right in (("model", False), ("band", False), ("what", False), ("value", True), ("interval", True)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "what")
    table.add_column("label", style="dim")
    table.add_column("method, over what", overflow="fold", style="dim")
    for f in snapshot.findings:
        level = f"{100 * f.level:g} %" if f.level is not None else ""
        how = f"{level} {f.method}; {f.resampled_over}".strip()
        table.add_row(f.model, f.arm, _what(f), value_text(f), interval_text(f), snapshot.label.code, how)
    return table


def _what(f: Finding) -> str:
    against = f" - {f.reference}" if f.reference else ""
    look = f" ({f.facet})" if f.facet else ""
    return f"{name(f.estimand)}{against}{look}"
