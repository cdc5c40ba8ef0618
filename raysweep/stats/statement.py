"""A sentence of a report as a value: its text, whether it claims something, and the findings that it rests on.

Belongs here: what every sentence carries. Does not: which sentences there are (`verdict`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from raysweep.stats.finding import Check, Finding

EXPLORATORY = "exploratory"
PEEK = "peek"
UNFINISHED_CODES = (PEEK, "look", "unfinished")
"""Codes of checks that say that trials are still to come; PEEK: at a moment that was not registered."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of a verdict.

    claim: it says that something differs, rises, falls, leads or is recommended; else it describes, bounds or says what
    cannot be known. findings: ids (`Finding.id`) of the numbers that it rests on. registered: it was registered before
    the first trial. p: the family-wise p (Holm) behind it, None where no test stands behind it.
    """

    text: str
    claim: bool = False
    findings: tuple[str, ...] = ()
    registered: bool = False
    p: float | None = None

    def document(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self) | {"findings": list(self.findings)}


@dataclass(frozen=True, slots=True)
class Caveats:
    """What every claim of a report must say of its data: the sweep goes on, or its trials were simulated.

    peeked: the sweep goes on and this look at it was not registered, so that all but repeated intervals is exploratory.
    """

    unfinished: bool = False
    simulated: bool = False
    peeked: bool = False

    @classmethod
    def of(cls, checks: Iterable[Check], *, simulated: bool) -> Caveats:
        """Those of a report with these checks, the label of `stop.peek_label` among them."""
        codes = {c.code for c in checks}
        return cls(not codes.isdisjoint(UNFINISHED_CODES), simulated, PEEK in codes)

    def tag(self, *, registered: bool) -> str:
        """What a claim ends with: " (exploratory, unfinished run, simulated data)"; "" where nothing applies."""
        words = [
            *([] if registered else [EXPLORATORY]),
            *(["unfinished run"] if self.unfinished else []),
            *(["simulated data"] if self.simulated else []),
        ]
        return f" ({', '.join(words)})" if words else ""


def ids(*findings: Finding | None) -> tuple[str, ...]:
    """Ids of the findings that are there, each once."""
    return tuple(dict.fromkeys(f.id for f in findings if f is not None))
