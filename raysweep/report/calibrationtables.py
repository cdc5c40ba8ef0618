"""A calibration on the terminal: sentences, checks, and tables of ceilings, declared against observed, kill curve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raysweep.report.calibration import calibration_sentences, p_text
from raysweep.report.terminal import MARKS
from raysweep.report.text import NONE, interval_text, value_text
from raysweep.stats.calibrate import Calibration
from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Finding
from raysweep.stats.findings.calibrate import Ladder
from raysweep.stats.findings.observed import MEASURES
from raysweep.stats.findings.proposal import Proposal
from raysweep.stats.wording import number
from raysweep.units import format_bytes, format_duration, format_millicores
from raysweep.vocabulary import CheckStatus

NOTES = {"page_cache": "more with page cache", "cut_peaks": "peaks were cut", "cut_time": "time was cut"}
GROUPS = ("all", "passing", "failing")
"""Groups of trials by their result, as `findings.declared` names them."""
QUANTITIES = {"memory": "memory", "cpu": "cpus", "agent_time": "agent time"}


def print_calibration(c: Calibration, console: Console) -> None:
    """Print verdict sentences, warnings of the checks, ceilings, declared against observed, kill curve, proposals."""
    console.print()
    for sentence in calibration_sentences(c):
        console.print(Text(f"  {sentence}", style="bold"))
    console.print()
    for check in c.checks:
        if check.status is CheckStatus.WARNING:
            mark, style = MARKS[check.status]
            console.print(Text.assemble((f"  {mark:>2}  ", style), check.message, (f" -> {check.remedy}", "dim")))
    ladders = [_ceilings(c, one) for one in c.ladders]
    for table in (*ladders, _declared(c.declared), _kills(c.kill_curve), _proposals(c.proposals)):
        if table.row_count:
            console.print()
            console.print(table)
    for reason, count in Counter(p.reason for p in c.proposals if not p.changes).items():
        console.print(Text(f"  {count} values: {reason}", style="dim"))


def _table(title: str, left: Iterable[str], right: Iterable[str], last: str = "") -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    if last:
        table.add_column(last, overflow="fold", style="dim")
    return table


def _ceilings(c: Calibration, one: Ladder) -> Table:
    table = _table(
        f"{one.model}: ceilings above {c.floor}, margin ±{number(100 * c.delta)} points, tasks fixed",
        ("band", "verdict"),
        ("points", f"{100 * (1 - 2 * c.alpha):g} %", "deaths", "fall", "blocks"),
    )
    for x in one.ceilings:
        table.add_row(
            x.band, x.verdict, value_text(x.difference), interval_text(x.difference), value_text(x.infra_rate),
            p_text(x.fall_p), number(x.blocks), style="bold" if x.band == c.recommended else "",
        )  # fmt: skip
    return table


def _declared(findings: Sequence[Finding]) -> Table:
    """The set in multiples of the spec: quantiles, what the spec itself clears, the margin and whose it is."""
    groups = {Facet(FacetKind.TRIALS, group) for group in GROUPS}
    by_facet = {(f.estimand, f.facet): f for f in findings}
    arms = {f.arm for f in findings if f.arm and f.facet and f.facet.within in groups}
    table = _table(
        f"Used, in multiples of what tasks declare; trials of {', '.join(sorted(arms)) or NONE}",
        ("measure", "trials"),
        ("50 %", "95 %", "max", "1x clears", "margin"),
        "tightest task",
    )
    for measure in MEASURES:
        margin = by_facet.get((f"{measure}_margin", None))
        if margin is None or margin.value is None:
            continue
        task = next((w.message.removeprefix("the largest is of ") for w in margin.warnings), "")
        clears = by_facet.get((f"{measure}_clears", Facet(FacetKind.MULTIPLE, 1.0)))
        tail = (_share(clears), f"{number(100 * margin.value)} %", task)
        for group in GROUPS:
            of = Facet(FacetKind.TRIALS, group)
            cells = [
                _multiple(by_facet.get((f"{measure}_of_spec", Facet(FacetKind.QUANTILE, q, of))))
                for q in ("0.5", "0.95", "max")
            ]
            first = group == "all"
            table.add_row(ESTIMANDS[measure].heading if first else "", group, *cells, *(tail if first else ()))
    return table


def _multiple(f: Finding | None) -> str:
    return NONE if f is None or f.value is None else f"{f.value:.2f}"


def _share(f: Finding | None) -> str:
    """A share with its lower bound."""
    if f is None or f.value is None or f.low is None:
        return NONE
    return f"{number(100 * f.value)} % (≥ {number(100 * f.low)})"


def _kills(findings: Sequence[Finding]) -> Table:
    shares = ("kill_curve_anon", "kill_curve_peak", "kills_measured")
    table = _table(
        "Kill curve of memory: an estimate from the least constrained trials, not a bound",
        ("model", "m x spec"),
        tuple(ESTIMANDS[name].heading for name in shares),
        "check",
    )
    rows: dict[tuple[str, Facet], dict[str, Finding]] = {}
    for f in findings:
        if f.facet is not None:
            rows.setdefault((f.model or "", f.facet), {})[f.estimand] = f
    for (model, facet), by in sorted(rows.items(), key=lambda item: (item[0][0], item[0][1].value)):
        measured = by.get("kills_measured")
        odd = next((w.message for w in measured.warnings if w.code == "curve_disagrees"), "") if measured else ""
        cells = [by.get(name) for name in shares]
        table.add_row(model, "".join(facet.names), *(NONE if f is None else value_text(f) for f in cells), odd)
    return table


def _proposals(proposals: Sequence[Proposal]) -> Table:
    known = [p for p in proposals if p.proposed is not None]
    shown = [p for p in known if p.changes]
    title = f"Proposals, rounded up to powers of two ({len(shown)} of {len(known)} values change)"
    table = _table(title, ("task", "value"), ("declared", "observed", "proposed", "trials"), "note")
    for p in shown:
        table.add_row(
            p.task, QUANTITIES[p.quantity], *(amount(p.quantity, v) for v in (p.declared, p.observed, p.proposed)),
            str(p.finding.n_attempts), ", ".join(NOTES.get(w.code, w.code) for w in p.finding.warnings),
        )  # fmt: skip
    return table


def amount(quantity: str, value: float | None) -> str:
    """A value of a spec as a person writes it."""
    if value is None:
        return NONE
    if quantity == "memory":
        return format_bytes(round(value))
    return format_millicores(round(value)) if quantity == "cpu" else format_duration(value)
