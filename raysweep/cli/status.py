"""`raysweep status`: how far a run is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raysweep.cli.output import emit, say, status_lines
from raysweep.study.status import read_status

if TYPE_CHECKING:
    from raysweep.record.place import RunPath
    from raysweep.study.status import RunStatus

SHOWN = 8
"""Windows named one by one to a person."""


def status_command(path: RunPath, *, as_json: bool) -> RunStatus:
    """Print the status, and return it."""
    status = read_status(path)
    print_status(status, as_json=as_json)
    return status


def print_status(status: RunStatus, more: Mapping[str, Any] | None = None, *, as_json: bool) -> None:
    """Print it, as JSON with the keys of `more`."""
    if as_json:
        emit({**status.as_json(), **(more or {})})
        return
    for line in (*status_lines(status), *missed_lines(status.missed), *model_lines(status.models), *status.notes):
        say(line)


def missed_lines(missed: Mapping[str, Any] | None) -> list[str]:
    """What windows that closed lack, for a person."""
    if missed is None:
        return []
    windows, price = missed["windows"], missed["smallest_contrast"]
    lines = [f"{missed['blocks']} blocks of {len(windows)} windows that have closed lack a complete run:"]
    lines += [f"  {w['bucket']} of {w['occasion']}: {w['missing']} of {w['planned']}" for w in windows[:SHOWN]]
    lines += [f"  and {len(windows) - SHOWN} more windows (--json has all)"] if len(windows) > SHOWN else []
    if price["planned"] is not None and price["now"] is not None:
        lines.append(
            f"  if they are not made up, the smallest contrast that can be detected is {price['now']:.2f} instead of "
            f"{price['planned']:.2f} points"
        )
    return lines


def model_lines(models: Mapping[str, Any] | None) -> list[str]:
    """What model APIs were used for so far, and what that cost."""
    if models is None:
        return []
    usd = "cost unknown" if models["usd"] is None else f"{models['usd']:.2f} USD"
    unpriced = (
        f" and {models['unpriced']} calls of unknown cost" if models["unpriced"] and models["usd"] is not None else ""
    )
    tokens = f"{models['tokens_in'] or 0:,} tokens in, {models['tokens_out'] or 0:,} out"
    return [
        f"models: {models['calls']:,} calls ({models['rate_limited'] or 0:,} answered 429), {tokens}, {usd}{unpriced}"
    ]
