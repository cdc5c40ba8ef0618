"""A comparison for a reader: its sentences, the terminal's table, the JSON document. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raysweep.report.text import NONE, interval_text, value_text
from raysweep.report.write import SCHEMA_VERSION
from raysweep.stats.compare import Comparison
from raysweep.stats.finding import Finding
from raysweep.stats.methodology import Difference
from raysweep.stats.statement import Statement, ids
from raysweep.stats.wording import SCEPTICAL, number
from raysweep.vocabulary import CheckStatus


def comparison_sentences(c: Comparison, assumed: Sequence[Difference] = ()) -> tuple[str, ...]:
    """What the comparison says, the claim first. assumed: differences of methodology that the asker passes over."""
    return (_claim(c), *_robust(c), *_sceptical(c, assumed), *_on_trust(c, assumed))


def comparison_statements(c: Comparison, assumed: Sequence[Difference] = ()) -> Iterator[Statement]:
    """The sentences as values: that one leads, and that the lead is robust, are claims."""
    leads = c.claim in {"beyond noise", "leads, not at every resource setting"}
    yield Statement(_claim(c), leads, ids(c.delta, *c.per_band))
    yield from (Statement(text, bool(c.robust), ids(*c.pairs)) for text in _robust(c))
    for text in (*_sceptical(c, assumed), *_on_trust(c, assumed)):
        yield Statement(text, findings=ids(c.delta))


def _claim(c: Comparison) -> str:
    f = c.delta
    if c.claim == "not enough data":
        why = f.warnings[-1]
        seen = "" if f.value is None else f" {c.a} less {c.b} is {number(f.value, signed=True)} points, but"
        return f"Nothing can be said yet:{seen} {why.message}; {why.remedy}."
    if c.claim == "not beyond noise":
        gap = f"{number(f.value or 0.0, signed=True)} points, {_ends(f, f.low or 0.0, f.high or 0.0)}"
        return f"{c.a} less {c.b} is not beyond noise ({gap}); this is not proof of equality."
    first, second = leader(c)
    low, high = sorted((abs(f.low or 0.0), abs(f.high or 0.0)))
    size = f"{number(abs(f.value or 0.0))} points ({_ends(f, low, high, signed=False)})"
    lead = f"{first} leads {second} by {size}"
    if c.claim == "beyond noise":
        each = f", and so at each common band ({', '.join(c.bands)})" if len(c.bands) > 1 else f", at {c.bands[0]}"
        return f"{lead}, beyond sampling and infrastructure noise{each}."
    each_band = zip(c.bands, c.per_band, strict=True)
    weak = [f"at {band} it is {_lead(c, f)}" for band, f in each_band if not _same_side(f, c.delta)]
    return f"{lead} over all common bands, not at every resource setting: {', '.join(weak)}."


def leader(c: Comparison) -> tuple[str, str]:
    """Labels of the one that leads and of the other."""
    return (c.a, c.b) if (c.delta.value or 0.0) > 0 else (c.b, c.a)


def _same_side(f: Finding, delta: Finding) -> bool:
    return f.excludes_zero and (f.value or 0.0) * (delta.value or 0.0) > 0


def _robust(c: Comparison) -> Iterator[str]:
    if c.claim not in {"beyond noise", "leads, not at every resource setting"}:
        return
    first, second = leader(c)
    if c.robust is None:
        yield f"Mismatched resources: {' and '.join(c.matched)} alone cannot tell; give both more bands."
        return
    band, other, f = weakest(c)
    pair, ends = f"{first} at {band} against {second} at {other}", f"{c.matched[0]} to {c.matched[-1]}"
    if c.robust:
        yield f"Robust to mismatched resources from {ends}: the closest pair, {pair}, is {_lead(c, f)}."
        return
    yield f"Not robust to mismatched resources: {pair} is {_lead(c, f)}; quote the lead for equal bands only."
    if c.question.ceiling is None and len(c.matched) > 2:
        yield (
            f"No --ceiling was given, so bands from {ends} were matched, the widest too: give the ceiling that"
            " `raysweep calibrate` recommends to ask only of limits that do not change the benchmark."
        )


def weakest(c: Comparison) -> tuple[str, str, Finding]:
    """The pair of bands at which the lead is least sure: the leader's band, the other's, its finding."""
    names = [(m, n) for m in c.matched for n in c.matched]
    ahead = (c.delta.value or 0.0) > 0

    def least(item: tuple[tuple[str, str], Finding]) -> float:
        end = item[1].low if ahead else item[1].high
        return -200.0 if end is None else end if ahead else -end

    (m, n), f = min(zip(names, c.pairs, strict=True), key=least)
    return (m, n, f) if ahead else (n, m, f)


def _lead(c: Comparison, f: Finding) -> str:
    """Size of a contrast in the direction of the leader, with its interval."""
    sign = 1.0 if leader(c)[0] == c.a else -1.0
    ends = [None if end is None else sign * end for end in (f.low, f.high)]
    low, high = ends if sign > 0 else ends[::-1]
    span = "no interval" if low is None or high is None else _ends(f, low, high)
    return f"{number(sign * (f.value or 0.0), signed=True)} points ({span})"


def _ends(f: Finding, low: float, high: float, *, signed: bool = True) -> str:
    return f"{100 * (f.level or 0.0):g} % {number(low, signed=signed)} to {number(high, signed=signed)}"


def _sceptical(c: Comparison, assumed: Sequence[Difference]) -> Iterator[str]:
    if c.delta.value is None or abs(c.delta.value) >= SCEPTICAL:
        return
    if not c.sceptical:
        yield (
            f"Gaps under {SCEPTICAL:g} points call for caution; this one is beyond noise, and the runs'"
            " resource settings are known to match."
        )
        return
    why = "nothing here shows it beyond noise" if c.claim != "beyond noise" else ""
    if not why:
        names = [d.field for d in assumed] or list(c.question.assumed)
        why = f"that the runs are alike in {', '.join(names)} was assumed"
    yield f"Treat gaps under {SCEPTICAL:g} points with caution: {why}."


def _on_trust(c: Comparison, assumed: Sequence[Difference]) -> Iterator[str]:
    if assumed:
        yield f"Assumed comparable, though not known to be alike: {'; '.join(map(str, assumed))}."
    if c.question.temporal_sd is not None:
        yield f"The spread between dates, {number(100 * c.question.temporal_sd)} points, was stated and not measured."


def print_comparison(
    c: Comparison, console: Console, *, assumed: Sequence[Difference] = (), noted: Sequence[Difference] = ()
) -> None:
    """Print the sentences, cautions with remedies, and the contrasts. noted: differences that refuse nothing."""
    console.print()
    for sentence in comparison_sentences(c, assumed):
        console.print(Text(f"  {sentence}", style="bold"))
    console.print()
    for caution in c.delta.warnings if c.claim != "not enough data" else c.delta.warnings[:-1]:
        console.print(Text.assemble(("   !  ", "bold yellow"), caution.message, (f" -> {caution.remedy}", "dim")))
    if noted:
        differences = "; ".join(map(str, noted))
        console.print(Text.assemble(("   i  ", "cyan"), f"the runs also differ in {differences}"))
    console.print()
    console.print(_table(c))


def _table(c: Comparison) -> Table:
    table = Table(
        title=f"{c.a} less {c.b}, points of success; intervals over tasks and dates",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    level = f"{100 * c.question.level:g} %"
    for heading, right in (("bands", False), ("points", True), (level, False), ("tasks", True), ("dates", True)):
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    table.add_column("method", overflow="fold", style="dim")
    rows = [("all common bands", c.delta)]
    rows += [(f"both at {band}", f) for band, f in zip(c.bands, c.per_band, strict=True)]
    if c.pairs:
        m, n, f = weakest(c)
        one, two = (m, n) if leader(c)[0] == c.a else (n, m)
        rows.append((f"{one} against {two} (closest)", f))
    rows += [(f"between dates, sd{'' if f.reference else f' of {f.arm}'}", f) for f in c.spreads]
    for what, f in rows:
        span = NONE if f.level is None else interval_text(f)
        table.add_row(what, value_text(f), span, str(f.n_tasks), str(f.n_dates), f.method)
    return table


def comparison_document(
    c: Comparison,
    *,
    runs: Sequence[str],
    provenance: Mapping[str, Any],
    assumed: Sequence[Difference] = (),
    noted: Sequence[Difference] = (),
) -> dict[str, Any]:
    """The keys of report.json, and `comparison`: the two verdicts and what they rest on."""
    temporal = c.question.temporal_sd
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": list(runs),
        "verdict": [s.document() for s in comparison_statements(c, assumed)],
        "checks": [{"status": CheckStatus.WARNING, **asdict(w)} for w in c.delta.warnings],
        "findings": [f.document() for f in c.findings],
        "comparison": {
            "a": c.a,
            "b": c.b,
            "claim": c.claim,
            "beyond_noise": None if c.claim == "not enough data" else c.claim == "beyond noise",
            "robust_to_mismatch": c.robust,
            "sceptical": c.sceptical,
            "bands": list(c.bands),
            "matched": list(c.matched),
            "level": c.question.level,
            "temporal_sd_points": None if temporal is None else 100 * temporal,
            "assumed": [asdict(d) for d in assumed],
            "noted": [asdict(d) for d in noted],
        },
        "provenance": dict(provenance),
    }
