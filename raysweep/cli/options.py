"""Values of options that several commands take, read or refused."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from raysweep.errors import bad_input
from raysweep.units import parse_duration, parse_points

MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", min=0, max=65535, envvar="RAYSWEEP_METRICS_PORT", help="serve Prometheus metrics"),
]
LogForm = Annotated[
    Literal["plain", "json"],
    typer.Option("--logs", envvar="RAYSWEEP_LOGS", help="json: one object per line, with the ids of trials"),
]


def points_option(option: str, text: str | None) -> float | None:
    """Percentage points like "2pp" as a fraction, None where not given; InputError names the option."""
    if text is None:
        return None
    try:
        return parse_points(text)
    except ValueError as error:
        message, _, remedy = str(error).partition("; ")
        raise bad_input(message, remedy, key=option) from error


def duration_option(option: str, text: str) -> float:
    """A duration like "90s" in seconds; InputError names the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        message, _, remedy = str(error).partition("; ")
        raise bad_input(message, remedy or 'write it like "90s" or "2h"', key=option) from error
