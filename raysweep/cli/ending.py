"""How `raysweep run` ends: the exit code, and the words that say why and what comes next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import tell
from raysweep.errors import ExitCode

if TYPE_CHECKING:
    from raysweep.cli.session import Session
    from raysweep.schedule.driver import Result


def exit_code(result: Result, status: dict[str, Any], session: Session, config: Path) -> int:
    """The exit code of a run, printed with what to do next."""
    again = f"raysweep run {config} --run-dir {session.path}"
    if result.interrupted:
        tell(f"interrupted; go on with: {again}")
        return ExitCode.INTERRUPTED
    if result.stopped is not None and result.stopped.kind == "rule":
        tell(f"stopped by the registered rule: {result.stopped.reason}; report: raysweep report {session.path}")
        return ExitCode.OK
    left = _left(result, session, config, again)
    if left is not None:
        tell(left)
        return ExitCode.INCOMPLETE
    if session.blocks is not None and not status["complete"]:
        tell(f"the pilot of {session.blocks} blocks is done; the rest runs with: {again}")
    elif sys.stderr.isatty():
        tell(f"report: raysweep report {session.path}")
    return ExitCode.OK


def _left(result: Result, session: Session, config: Path, again: str) -> str | None:
    """Why something is left to do, and how; None where nothing is."""
    if result.stopped is not None:
        remedy = {
            "budget": "go on (after raising the bound) with",
            "breaker": f"look after the machines and `raysweep doctor --config {config}`, then go on with",
        }[result.stopped.kind]
        return f"stopped: {result.stopped.reason}; {remedy}: {again}"
    if not result.missing:
        return None
    lacking = f"{result.missing} blocks have no complete run"
    tried = f"`raysweep status {session.path}` names what was tried"
    if result.missing == result.for_good:
        return f"{lacking}, and no further one (`block_reruns`): {tried}, the report what it costs"
    if session.turn is not None:
        from raysweep.cli.window import parting

        return parting(session.turn, result.missing, again)
    return f"{lacking} (retries, `block_reruns` or windows used up); {tried}; try again with: {again}"
