"""The report in a terminal: sentences, checks, one table of contrasts and one of rates. NO_COLOR is rich's own."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raysweep.report.text import NONE, amount, interval_text, name, value_text, what_text
from raysweep.stats import Analysis, Finding, Member
from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.facet import FacetKind
from raysweep.stats.levels import sides
from raysweep.vocabulary import CheckStatus

TASKS = ("tasks", "tasks fixed")
MARKS = {
    CheckStatus.WARNING: ("!", "bold yellow"),
    CheckStatus.NOTE: ("i", "cyan"),
    CheckStatus.OK: ("ok", "green"),
}


def print_report(analysis: Analysis, console: Console) -> None:
    """Print the runs where there are several, verdict, checks with remedies, contrasts, rates per arm."""
    console.print()
    if analysis.members:
        console.print(_member_table(analysis.members))
        console.print()
    for sentence in analysis.verdict:
        console.print(Text(f"  {sentence}", style="bold"))
    console.print()
    for check in analysis.checks:
        mark, style = MARKS[check.status]
        remedy = f" -> {check.remedy}" if check.remedy else ""
        console.print(Text.assemble((f"  {mark:>2}  ", style), check.message, (remedy, "dim")))
    probes = [f for f in analysis.details if f.is_of(FacetKind.PROBE)]
    if probes:
        console.print()
        console.print(_probe_table(probes))
    contrasts = [
        f for f in analysis.findings
        if f.estimand in {"success", "q_trial"} and f.arm and f.reference and not f.bucket and not f.facet
    ]  # fmt: skip
    if contrasts:
        console.print()
        console.print(_contrast_table(analysis, contrasts))
    levels = [
        f for f in analysis.findings
        if f.estimand in {"success", "q_trial"} and sides(f) and not f.bucket and f.resampled_over in TASKS
    ]  # fmt: skip
    if levels:
        console.print()
        console.print(_level_table(analysis, levels))
    if analysis.findings:
        console.print()
        console.print(_rate_table(analysis))


def _member_table(members: Sequence[Member]) -> Table:
    table = Table(title=f"{len(members)} runs, analysed together", title_justify="left", box=None, pad_edge=False)
    for heading in ("run", "id", "models"):
        table.add_column(heading, no_wrap=heading != "models")
    for heading in ("tasks", "dates", "trials", "attempts"):
        table.add_column(heading, justify="right")
    for m in members:
        numbers = (m.tasks, len(m.dates), m.trials, m.attempts)
        table.add_row(m.name, m.run_id, ", ".join(m.models), *map(str, numbers))
    return table


def _contrast_table(analysis: Analysis, contrasts: list[Finding]) -> Table:
    title = f"Contrasts against {analysis.design.reference}, points (* registered)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    level = f"{100 * analysis.design.confidence:g} %"
    for heading, right in (("model", False), ("band", False), ("estimand", False), ("points", True), (level, False)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "estimand")
    table.add_column("method, over what", overflow="fold", style="dim")
    for f in contrasts:
        star = "*" if f.registered else ""
        how = f"{f.method}; {f.resampled_over}"
        style = "bold" if f.registered else ""
        table.add_row(f.model, f.arm, f"{name(f.estimand)}{star}", value_text(f), interval_text(f), how, style=style)
    return table


def _level_table(analysis: Analysis, levels: list[Finding]) -> Table:
    table = Table(title="Other factors, points (* registered)", title_justify="left", box=None, pad_edge=False)
    level = f"{100 * analysis.design.confidence:g} %"
    for heading, right in (("what", False), ("estimand", False), ("points", True), (level, True)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "estimand")
    table.add_column("method, over what", overflow="fold", style="dim")
    for f in levels:
        star, style = ("*", "bold") if f.registered else ("", "")
        how = f"{f.method}; {f.resampled_over}"
        table.add_row(what_text(f), f"{name(f.estimand)}{star}", value_text(f), interval_text(f), how, style=style)
    return table


def _probe_table(probes: list[Finding]) -> Table:
    table = Table(title="Limits as measured by probes", title_justify="left", box=None, pad_edge=False)
    for heading, right in (("band", False), ("what", False), ("value", True), ("range", True), ("probes", True)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "what")
    for f in probes:
        table.add_row(f.arm, name(f.estimand), value_text(f), interval_text(f), str(f.n_attempts))
    return table


def _rate_table(analysis: Analysis) -> Table:
    table = Table(title="Per arm, over all buckets", title_justify="left", box=None, pad_edge=False)
    for heading in ("model", "band"):
        table.add_column(heading, no_wrap=True)
    estimands = ("success", "q_trial", "success_given_clean", "infra_rate_resource", "infra_rate_platform")
    for estimand in estimands:
        table.add_column(ESTIMANDS[estimand].heading, justify="right")
    by_arm = {
        (f.estimand, f.model, f.arm): f
        for f in analysis.findings
        if f.reference is None and f.bucket is None and f.facet is None
    }
    for model, band in analysis.arms:
        cells = []
        for estimand in estimands:
            f = by_arm.get((estimand, model, band))
            cells.append(NONE if f is None or f.value is None else amount(f.value, f.unit))
        table.add_row(escape(model), band, *cells)  # rich takes brackets for its markup
    return table
