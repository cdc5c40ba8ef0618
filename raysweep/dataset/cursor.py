"""Where in a ledger a reader is, as one short text that survives merges, resumes and restarts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raysweep.errors import bad_input

_CURSOR = re.compile(r"(\d+)/(\d+)/(.+)")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was taken: its attempt, and an epoch and segment number at or before it to look from."""

    epoch: int
    segment: int
    attempt_id: str

    def __str__(self) -> str:
        return f"{self.epoch}/{self.segment}/{self.attempt_id}"


def parse_cursor(text: str) -> Cursor:
    """The cursor that `str` of one gave; InputError for any other text."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        remedy = "give back a value of the column `cursor` of `raysweep.dataset.stream` as it was"
        raise bad_input("not a cursor", remedy, key="after", value=text)
    return Cursor(int(found[1]), int(found[2]), found[3])
