"""How `raysweep run` ends: the exit code, and the words that say why and what comes next."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import tell
from raysweep.errors import ExitCode

if TYPE_CHECKING:
    from raysweep.schedule.driver import Result
    from raysweep.study.run import RunEnd
    from raysweep.study.session import Session
    from raysweep.study.window import Invocation


def exit_code(end: RunEnd, config: Path, *, complete: bool) -> int:
    """The exit code of a run, printed with what to do next. complete: every trial of the plan is done."""
    result, session = end.result, end.session
    again = f"raysweep run {config} --run-dir {session.path}"
    if result.interrupted:
        tell(f"interrupted; resume with: {again}")
        return ExitCode.INTERRUPTED
    if result.stopped is not None and result.stopped.kind == "rule":
        tell(f"stopped by the registered rule: {result.stopped.reason}; report: raysweep report {session.path}")
        return ExitCode.OK
    left = _left(result, session, config, again)
    if left is not None:
        tell(left)
        return ExitCode.INCOMPLETE
    if session.blocks is not None and not complete:
        tell(f"the pilot of {session.blocks} blocks is done; the rest runs with: {again}")
    elif sys.stderr.isatty():
        tell(f"report: raysweep report {session.path}")
    return ExitCode.OK


def _left(result: Result, session: Session, config: Path, again: str) -> str | None:
    """Why something is left to do, and how; None where nothing is."""
    if result.stopped is not None:
        remedy = {
            "budget": "raise the bound, then resume with",
            "breaker": f"look after the machines and `raysweep doctor --config {config}`, then resume with",
        }[result.stopped.kind]
        return f"stopped: {result.stopped.reason}; {remedy}: {again}"
    if not result.missing:
        return None
    lacking = f"{result.missing} blocks have no complete run"
    tried = f"`raysweep status {session.path}` lists the attempts"
    if result.missing == result.for_good:
        return f"{lacking} and have used all their `block_reruns`: {tried}, the report shows the effect"
    if session.invocation is not None:
        return parting(session.invocation, result.missing, again)
    return f"{lacking} (retries, `block_reruns` or windows used up); {tried}; try again with: {again}"


def window_json(invocation: Invocation) -> dict[str, Any]:
    """{window: {bucket, occasion, opens, closes} or null, next_opens}: times ISO 8601 in UTC, null for never."""
    o = invocation.open
    window = None if o is None else {
        "bucket": o.bucket, "occasion": o.label, "opens": _utc(o.opens), "closes": _utc(o.closes)
    }  # fmt: skip
    return {"window": window, "next_opens": None if invocation.opens is None else _utc(invocation.opens)}


def parting(invocation: Invocation, missing: int, again: str) -> str:
    """The last words of an invocation that leaves `missing` blocks. again: the command that resumes."""
    left = f"{missing} blocks are left"
    if invocation.opens is None:
        return f"blocks remain ({missing}), but all planned and make-up windows are over. Run them later with: {again}"
    over = (
        "no window is open"
        if invocation.open is None
        else f"done with window {invocation.open.bucket} of {invocation.open.label}"
    )
    return f"{over}; {left}; the next window opens {_utc(invocation.opens)}: {again} --until-window-end"


def _utc(moment: float) -> str | None:
    """ISO 8601; None for a moment that never comes."""
    return None if moment == float("inf") else dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")
