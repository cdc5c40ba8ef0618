"""`raysweep try`: one trial here and now, with everything that is seen of it; no ledger, nothing kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysweep.cli.output import emit, say, tell
from raysweep.errors import ExitCode
from raysweep.study.load import load_study
from raysweep.study.try_one import changed_levels, find_trial, try_trial


def try_command(config: Path, task: str, band: str, model: str, factors: Sequence[str] = (), *, as_json: bool) -> int:
    """Run the first planned trial of (task, band, model, levels); 0 when it was scored, 1 when it was not.

    factors: levels as NAME=LEVEL; factors that are not named are at their reference.
    """
    study = load_study(config)
    levels = changed_levels(study, factors)
    if any(given.startswith("concurrency=") for given in factors):
        tell("one trial alone is one trial in flight, whatever its level of concurrency is")
    launch = find_trial(study, task, band, model, levels)
    done = try_trial(study, launch) if as_json else try_trial(study, launch, _show)
    judged = asdict(done.verdict)
    if as_json:
        row = {k: v for k, v in done.row.items() if v is not None}
        emit({"verdict": judged, "row": row, "evidence": asdict(done.evidence)})
    else:
        say("evidence:")
        say(json.dumps(_known(asdict(done.evidence)), indent=1, default=str))
        say(f"verdict: {' / '.join(str(v) for v in judged.values() if v)}, reward {done.row.get('reward')}")
    return ExitCode.OK if done.verdict.outcome == "scored" else ExitCode.CLAIM_FAILS


def _known(value: Any) -> Any:
    """Without what is unknown or empty: a person reads this."""
    if isinstance(value, dict):
        return {k: _known(v) for k, v in value.items() if v not in (None, {}, ())}
    return value


def _show(step: dict[str, Any]) -> None:
    """One step of the transcript on standard error."""
    facts = {k: v for k, v in step.items() if k not in ("t", "step", "stdout", "stderr") and v is not None}
    tell(f"{step['t']:8.3f} s  {step['step']:8s} " + " ".join(f"{k}={v}" for k, v in facts.items()))
    for stream in ("stdout", "stderr"):
        for line in step.get(stream, "").splitlines():
            tell(f"            {stream}: {line}")
