"""A calibration for a reader: its sentences and the JSON document. No number is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from raysweep.report.write import SCHEMA_VERSION
from raysweep.stats.calibrate import ADMISSIBLE, UNDECIDED, Calibration
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.calibrate import AFTER_STOP, CHANGES, NOT_ENOUGH, TOO_TIGHT, WITHIN, Ladder
from raysweep.stats.findings.ceiling import Ceiling
from raysweep.stats.findings.limits import UNTESTED
from raysweep.stats.statement import Statement, ids
from raysweep.stats.wording import number, percent


def calibration_sentences(c: Calibration) -> tuple[str, ...]:
    """What the calibration says, the recommendation first; then each ceiling of each model, then what holds for all."""
    return (
        _headline(c),
        *(line for one in c.ladders for line in _ladder(c, one)),
        *(f"{note.message}; {note.remedy}." for note in notes(c)),
    )


def calibration_statements(c: Calibration) -> Iterator[Statement]:
    """The sentences as values: a recommendation, and a ceiling that changes the benchmark, are claims."""
    changes = [f"{x.model}: {x.band} changes" for one in c.ladders for x in one.ceilings if x.verdict == CHANGES]
    exact = all(note.code != "exploratory" for note in c.cautions)
    for place, text in enumerate(calibration_sentences(c)):
        headline = place == 0 and c.status == ADMISSIBLE
        about = [x for one in c.ladders for x in one.ceilings if text.startswith(f"{one.model}: {x.band} ")]
        if headline:
            about = [x for one in c.ladders for x in one.ceilings if x.band == c.recommended]
        rests = ids(*(f for x in about for f in (x.difference, x.fall)))
        yield Statement(text, headline or text.startswith(tuple(changes)), rests, registered=headline and exact)


def notes(c: Calibration) -> tuple[Caution, ...]:
    """Cautions of the whole, and of the enforcement of what is recommended, each once."""
    rows = [x for one in c.ladders for x in one.ceilings if x.band == c.recommended]
    return tuple(dict.fromkeys((*c.cautions, *(note for x in rows for note in x.cautions))))


def _headline(c: Calibration) -> str:
    margin = f"±{number(100 * c.delta)} points of {c.floor}"
    if c.status == ADMISSIBLE:
        which = f"the largest ceiling within {margin} at which fewer trials die"
        if c.infra_max is not None:
            which = (
                f"the smallest ceiling within {margin} at which limits end at most {percent(c.infra_max)} of attempts"
            )
        return f"Recommended: {c.recommended}, {which}{_for_models(c)}."
    if c.status == UNDECIDED:
        more = _more_blocks(c)
        return f"Not enough data to recommend a ceiling above {c.floor}{more}."
    return f"No ceiling above {c.floor} is admissible: none is within {margin} with fewer deaths{_for_models(c)}."


def _for_models(c: Calibration) -> str:
    return ", for every model" if len(c.ladders) > 1 else ""


def _more_blocks(c: Calibration) -> str:
    """Blocks per task that the open ceilings need, where that is known."""
    open_ = [x for one in c.ladders for x in one.ceilings if x.verdict == NOT_ENOUGH]
    needed = [n for x in open_ for n in (x.needed, x.needed_for_rate) if n is not None and n > x.blocks]
    if not needed:
        return ""
    blocks = min(x.blocks for x in open_)
    return (
        f": about {max(needed)} blocks per task would do with 80 % power if there is no difference,"
        f" there are {number(blocks)}"
    )


def _ladder(c: Calibration, one: Ladder) -> Iterator[str]:
    skipped = [x.band for x in one.ceilings if x.verdict == AFTER_STOP]
    for ceiling in one.ceilings:
        if ceiling.verdict != AFTER_STOP:
            yield f"{one.model}: {_ceiling(c, one, ceiling)}"
    if skipped:
        stop = one.ceilings[len(one.passed)].band
        were = "were" if len(skipped) > 1 else "was"
        yield f"{one.model}: {', '.join(skipped)} {were} not tested: the sequence stopped at {stop}."
    other_tasks = one.recommended_sampled
    if other_tasks != one.recommended:
        said = f"{other_tasks} would be recommended" if other_tasks else "no ceiling can be recommended"
        yield f"{one.model}: for other tasks like these {said}."


def _ceiling(c: Calibration, one: Ladder, x: Ceiling) -> str:
    if x.verdict == WITHIN:
        doubt = " (that its limit was enforced is not confirmed)" if x.enforcement == UNTESTED else ""
        return f"{x.band} is within the band: {_difference(x.difference)}, {_fall(one, x)}{doubt}."
    if x.verdict == TOO_TIGHT:
        if c.infra_max is not None and (x.infra_rate.value or 0.0) > c.infra_max:
            why = f"limits end {_rate(x.infra_rate)} of attempts, above {percent(c.infra_max)}"
        else:
            why = f"no fall of infrastructure deaths is shown ({_rates(one, x)}, {p_text(x.fall_p)})"
        return f"{x.band} is too tight: {why}; {_difference(x.difference)}."
    if x.verdict == CHANGES:
        return f"{x.band} changes the benchmark: {_difference(x.difference)}, beyond ±{number(100 * c.delta)} points."
    if x.verdict == NOT_ENOUGH:
        return f"{x.band}: not enough data: {_lacking(c, x, f'±{number(100 * c.delta)}')}."
    reason = x.cautions[0].message if x.cautions else "its limit was not enforced"
    return f"{x.band} cannot be judged: {reason}."


def _lacking(c: Calibration, x: Ceiling, margin: str) -> str:
    f = x.difference
    if f.value is None or f.low is None:
        return f"{f.warnings[-1].message}; {f.warnings[-1].remedy}" if f.warnings else "no complete block"
    if x.equivalent and c.infra_max is not None:
        text = f"the rate of deaths ({_rate(x.infra_rate)}) may lie above {percent(c.infra_max)}"
        return f"{text}{_blocks(x.needed_for_rate, x)}"
    return f"{_difference(f)} is not shown to lie within {margin}{_blocks(x.needed, x)}"


def _blocks(needed: int | None, x: Ceiling) -> str:
    if needed is None:
        return ""
    if needed <= x.blocks:
        return f"; with {number(x.blocks)} blocks per task it would have been, had there been no difference"
    return f"; {needed} blocks per task would show it with 80 % power if there is none, there are {number(x.blocks)}"


def _difference(f: Finding) -> str:
    value = f"success differs by {number(f.value or 0.0, signed=True)} points"
    if f.low is None or f.high is None or f.level is None:
        return f"{value}, without an interval"
    span = f"{100 * f.level:g} % {number(f.low, signed=True)} to {number(f.high, signed=True)}"
    return f"{value} ({span})"


def _fall(one: Ladder, x: Ceiling) -> str:
    return f"infrastructure deaths fall {_rates(one, x)} ({p_text(x.fall_p)})"


def _rates(one: Ladder, x: Ceiling) -> str:
    before, after = one.floor_rate.value, x.infra_rate.value
    return "rates unknown" if before is None or after is None else f"from {percent(before)} to {percent(after)}"


def _rate(f: Finding) -> str:
    high = "" if f.high is None else f", bound {percent(f.high)}"
    return f"{percent(f.value or 0.0)}{high}"


def p_text(p: float | None) -> str:
    """A one-sided p with one digit that counts."""
    if p is None:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def calibration_document(c: Calibration, runs: Sequence[str], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of report.json, and `calibration`: what was asked, verdict per model and ceiling, proposals."""
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": list(runs),
        "verdict": [s.document() for s in calibration_statements(c)],
        "calibration": {
            "floor": c.floor,
            "delta": c.delta,
            "infra_max": c.infra_max,
            "level": 1 - 2 * c.alpha,
            "status": c.status,
            "recommended": c.recommended,
            "models": [_ladder_document(one) for one in c.ladders],
            "proposals": [
                {"task": p.task, "quantity": p.quantity, "declared": p.declared, "observed": p.observed,
                 "proposed": p.proposed, "reason": p.reason} for p in c.proposals
            ],
            "cautions": [asdict(note) for note in notes(c)],
        },
        "checks": [asdict(check) for check in c.checks],
        "findings": [f.document() for f in c.findings],
        "provenance": dict(provenance),
    }  # fmt: skip


def _ladder_document(one: Ladder) -> dict[str, Any]:
    return {
        "model": one.model,
        "recommended": one.recommended,
        "recommended_other_tasks": one.recommended_sampled,
        "ceilings": [
            {
                "band": x.band,
                "verdict": x.verdict,
                "verdict_other_tasks": x.verdict_sampled,
                "fall_p": x.fall_p,
                "blocks_per_task": x.blocks,
                "blocks_needed": x.needed,
                "blocks_needed_for_rate": x.needed_for_rate,
                "enforcement": x.enforcement,
                "cautions": [asdict(note) for note in x.cautions],
            }
            for x in one.ceilings
        ],
    }
