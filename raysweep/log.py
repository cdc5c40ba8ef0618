"""The log: one JSON object a line for machines, a short line for a terminal, with the ids of run, trial and attempt.

Belongs here: the form of a line, the ids that go with it, and what is cut out of it. Where lines go in a run directory
is in record.logs. What a user must know is said by the commands and never depends on the log.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

ROOT = logging.getLogger("raysweep")
ROOT.addHandler(logging.NullHandler())  # a program that imports us and sets no log up hears nothing

_ids: ContextVar[Mapping[str, str]] = ContextVar("raysweep_log_ids", default={})  # noqa: B039 - never changed in place

_SECRET_NAME = re.compile(r"(^|_)(API)?(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?P<before>\bbearer\s+|://[^/\s:@]*:|\b(?:api[_-]?key|token|secret|password|signature)[\"']?\s*[=:]\s*[\"']?)"
    r"(?P<secret>[^\s\"'@&,;]+)",
    re.IGNORECASE,
)
SHORTEST_SECRET = 8
"""Shorter values of the environment are not looked for: they would be cut out of ordinary words."""
HIDDEN = "[hidden]"


@contextmanager
def ids(**values: str) -> Iterator[None]:
    """Records that this task (and tasks it starts) makes inside carry these ids, such as trial_id and attempt_id."""
    token = _ids.set({**_ids.get(), **values})
    try:
        yield
    finally:
        _ids.reset(token)


def current_ids() -> Mapping[str, str]:
    """The ids of records that would be made here and now."""
    return _ids.get()


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables whose names say that they are keys, tokens or passwords; longest first."""
    values = {v for k, v in environ.items() if _SECRET_NAME.search(k) and len(v) >= SHORTEST_SECRET}
    return tuple(sorted(values, key=len, reverse=True))


def without_secrets(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text with keys, tokens and passwords cut out: the given values, and what stands where one usually stands."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _SECRET_TEXT.sub(lambda match: match["before"] + HIDDEN, text)


class _Form(logging.Formatter):
    """What both forms share."""

    def __init__(self, **fixed: str) -> None:
        super().__init__()
        self._fixed = fixed
        self._secrets = secrets_of(os.environ)

    def text(self, record: logging.LogRecord) -> str:
        """The message, with its traceback behind it, and without secrets."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return without_secrets(text, self._secrets)


class JsonForm(_Form):
    """One JSON object a line: timestamp, level, event ("log"), logger, text, then ids. `fixed`: ids of the process."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging.Formatter.format."""
        moment = time.gmtime(record.created)
        fields = {
            "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.created % 1 * 1e6):06d}Z",
            "level": record.levelname.lower(),
            "event": "log",
            "logger": record.name,
            "text": self.text(record),
            **self._fixed,
            **current_ids(),
        }
        return json.dumps(fields, default=str)


class PlainForm(_Form):
    """For a person: time (UTC), level, module, the attempt if there is one, message."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging.Formatter.format."""
        at = time.strftime("%H:%M:%S", time.gmtime(record.created))
        attempt = current_ids().get("attempt_id")
        of = f" {attempt}" if attempt else ""
        return f"{at} {record.levelname.lower()} {record.name.removeprefix('raysweep.')}{of}: {self.text(record)}"


class _Terminal(logging.Handler):
    """Standard error as it is at the time: a progress bar takes its place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - what the user asked for
        except Exception:  # noqa: BLE001 - nobody reads it any more: no reason to stop
            return


def _level(verbose: bool) -> int:
    return logging.DEBUG if verbose else logging.INFO


def show_on_terminal(*, verbose: bool, as_json: bool) -> None:
    """From now on the log is on standard error, too: as JSON lines, or for a person where that was asked for.

    verbose: also what is otherwise not logged at all. Nothing happens where neither was asked for.
    """
    for old in [h for h in ROOT.handlers if isinstance(h, _Terminal)]:
        ROOT.removeHandler(old)
    if verbose or as_json:
        handler = _Terminal(_level(verbose))
        handler.setFormatter(JsonForm() if as_json else PlainForm())
        attach(handler)


def verbose_terminal() -> bool:
    """Whether `show_on_terminal` was asked for everything."""
    return any(isinstance(h, _Terminal) and h.level <= logging.DEBUG for h in ROOT.handlers)


def attach(handler: logging.Handler) -> None:
    """Let a handler have the records of its level and above."""
    ROOT.addHandler(handler)
    _settle()


def detach(handler: logging.Handler) -> None:
    """Take a handler away again and close it."""
    ROOT.removeHandler(handler)
    handler.close()
    _settle()


def _settle() -> None:
    """Make no record that nobody wants: the logger's level is its handlers' lowest."""
    levels = [h.level for h in ROOT.handlers if not isinstance(h, logging.NullHandler)]
    ROOT.setLevel(min(levels, default=logging.NOTSET))
