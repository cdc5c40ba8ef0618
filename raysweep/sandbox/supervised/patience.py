"""How long a client of a supervisor waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    cap: of a single outage. first, longest: back-off. greeting: for a connect, and for the greeting after it. silence:
    without a byte either way until the supervisor is asked whether it is there, and again until the stream is dropped.
    """

    cap: float = 600.0
    first: float = 0.2
    longest: float = 10.0
    greeting: float = 60.0
    silence: float = 60.0
