"""Calls on disk as they begin and end, so that those of a runner that dies are neither lost nor counted twice."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, fields
from pathlib import Path

from raysweep.gateway.call import Call

NAME = "calls.jsonl"
"""In the folder of the attempt's trace, while the attempt runs."""


class Journal:
    """Appends one line for each state of a call. folder: where the file goes; None keeps none.

    It begins anew: an older file is of an attempt of this name whose driver died. A disk that refuses a line loses that
    line only: the calls themselves go on.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / NAME
        self.remove()

    def note(self, call: Call) -> None:
        """Write down how the call stands now."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(call)) + "\n")

    def remove(self) -> None:
        """Remove the file."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def read_journal(folder: Path) -> list[Call]:
    """The calls of an attempt whose runner is gone, each as it stood last; a torn last line is left out."""
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    names = {field.name for field in fields(Call)}
    calls: dict[int, Call] = {}
    for line in lines:
        try:
            call = Call(**{k: v for k, v in json.loads(line).items() if k in names})
        except (ValueError, TypeError, AttributeError):
            continue
        calls[call.number] = call
    return [calls[number] for number in sorted(calls)]
