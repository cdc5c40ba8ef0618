"""The registered rule for stopping a sweep at a planned look, and what a report must say of a look at unfinished data.

Belongs here: the rule as pure functions of a ledger's two tables, for a driver's `stop` and for reports. Does not:
asking anyone, stopping anything, reading files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from raysweep.stats.cube import Cube
from raysweep.stats.design import Design
from raysweep.stats.finding import Check, Finding
from raysweep.stats.findings.looks import Look, looks
from raysweep.stats.findings.progress import CompleteDates, progress
from raysweep.stats.methods.sequential import look_dates
from raysweep.vocabulary import CheckStatus


@dataclass(frozen=True, slots=True)
class Decision:
    """A look at which the registered rule stops the sweep: look of looks, after `dates` of `planned_dates` dates.

    reason: one sentence with every contrast, its repeated interval and why that decides it. findings: the same as
    values (points). Data of later dates are not in them.
    """

    look: int
    looks: int
    dates: int
    planned_dates: int
    reason: str
    findings: tuple[Finding, ...]


def decide(table: pa.Table, planned: pa.Table, design: Design, cube: Cube | None = None) -> Decision | None:
    """The first planned look at which every registered primary contrast is decided; None where there is none.

    Decided: the repeated interval excludes 0, or lies inside +-delta. table: all attempts with is_final; planned: one
    row per planned trial (`date`, else `occasion`, tells its date). Nothing is decided of a sweep that registered no
    analysis or no looks, nor before the first planned look. The chance that a contrast without a true difference is
    ever said to differ is at most 1 - confidence. Costs little until a look's dates are complete. cube: of these
    tables, where it is at hand.
    """
    if not design.registered:
        return None
    at = progress(table, planned)
    return _first(looks(table, planned, design, at, cube), at, design)


def _first(found: Sequence[Look], at: CompleteDates, design: Design) -> Decision | None:
    for look in found:
        whys = [_why(f, design.delta) for f in look.findings]
        if all(whys):
            reason = (
                f"look {look.number} of {design.looks}, after {look.dates} of {at.dates} dates: every registered"
                f" contrast is decided: {'; '.join(w for w in whys if w)}{_few_dates(look.findings)}"
            )
            return Decision(look.number, design.looks, look.dates, at.dates, reason, look.findings)
    return None


def _few_dates(findings: Sequence[Finding]) -> str:
    """What so few dates leave open."""
    return next((f"; {w.message}" for f in findings for w in f.warnings if w.code == "few_dates"), "")


def _why(f: Finding, delta: float) -> str | None:
    """Why the contrast is decided, None when it is not."""
    if f.low is None or f.high is None or f.value is None or f.level is None:
        return None
    said = (
        f"{f.model} {f.arm} - {f.reference} {f.estimand} {f.value:+.1f} points"
        f" (repeated {100 * f.level:g} % interval {f.low:+.1f} to {f.high:+.1f})"
    )
    if f.excludes_zero:
        return f"{said}, which is not 0"
    inside = max(abs(f.low), abs(f.high)) <= 100 * delta
    return f"{said}, within the {100 * delta:g} points that count as none" if inside else None


def peek_label(table: pa.Table, planned: pa.Table, design: Design, cube: Cube | None = None) -> Check | None:
    """What a report must say because of when it looks; None for a finished sweep that planned no looks.

    Codes: "peek" (warning: not a planned look, nothing here may decide whether to go on), "look" (a planned look, not
    decided), "stopped" (decided by the registered rule), "looks" (finished: read the repeated intervals). As `decide`.
    """
    at = progress(table, planned)
    over, planned_looks = at.finished or at.closed == at.dates, bool(design.looks and design.registered)
    if not at.dates or not len(table) or (over and not planned_looks):
        return None
    if not planned_looks:
        done = f"{at.closed} of {at.dates} dates are complete, and no look before the end was registered"
        return Check(
            "peek", CheckStatus.WARNING, f"the sweep is not finished ({done}): all that is below is exploratory",
            "do not decide by it whether to go on; the same command resumes, `analysis.looks` plans looks",
        )  # fmt: skip
    found = looks(table, planned, design, at, cube)
    stop = _first(found, at, design)
    if stop is not None and stop.look < design.looks:
        remedy = f"read the repeated intervals of look {stop.look}; what ran after it is beyond the registered analysis"
        return Check("stopped", CheckStatus.NOTE, f"decided by the registered rule at {stop.reason}", remedy)
    repeated = "read the repeated intervals: the ordinary ones take no account of the other looks"
    if over:
        end = "the last decided" if stop else "none decided"
        return Check(
            "looks", CheckStatus.NOTE, f"the sweep is over and had {design.looks} registered looks: {end}", repeated
        )
    return _between(at, design, repeated)


def _between(at: CompleteDates, design: Design, repeated: str) -> Check:
    """At a planned look, or between two, of a sweep that goes on."""
    after = look_dates(at.dates, min(design.looks, at.dates))
    where = f"{at.closed} of {at.dates} dates are complete"
    if at.closed in after and not at.beyond:
        number = after.index(at.closed) + 1
        message = f"registered look {number} of {design.looks} ({where}): not every registered contrast is decided"
        return Check("look", CheckStatus.NOTE, message, f"{repeated}; the same command runs to the next look")
    coming = next((n for n in after if n > at.closed), at.dates)
    begun = " and a further one has begun" if at.beyond else ""
    planned = ", ".join(map(str, after))
    return Check(
        "peek", CheckStatus.WARNING, f"not a planned look ({where}{begun}; looks are after {planned}): exploratory",
        f"do not decide by it whether to go on; the next look comes when {coming} dates are complete",
    )  # fmt: skip
