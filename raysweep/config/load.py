"""From a file or a text to a Sweep, or to one InputError that holds every problem with line, key, value and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raysweep.config.apis import LITERAL_KEY, key_like
from raysweep.config.explain import explain
from raysweep.config.fault import Fault, Loc, at
from raysweep.config.model import KEYS_ONLY, Sweep
from raysweep.config.reader import Document, read_yaml
from raysweep.config.rules import broken_rules
from raysweep.errors import InputError, Problem, bad_input

_TEMPLATE = "make one with `raysweep init`"


def load(path: Path) -> Sweep:
    """The sweep in the file at `path`; InputError with every problem at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise bad_input("there is no such file", "check the path of the config", file=str(path)) from None
    except UnicodeDecodeError as error:
        raise bad_input(f"is not UTF-8 text ({error.reason})", "save it as UTF-8", file=str(path)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise bad_input(f"cannot be read: {reason}", "give a readable file", file=str(path)) from None
    return parse(text, path)


def parse(text: str, path: Path | None = None) -> Sweep:
    """The sweep in a YAML text; `path` names the file in problems. InputError with every problem at once."""
    document = read_yaml(text)
    place = str(path) if path is not None else None
    if not document.faults and not isinstance(document.data, Mapping):
        said = "the file is empty" if document.data is None else "a sweep is a mapping of keys"
        raise bad_input(said, _TEMPLATE, file=place, line=None if document.data is None else 1)
    sweep, faults = _checked(document)
    if sweep is None or faults:
        raise InputError(_problems(faults, document, place))
    sweep._source_text, sweep._source_path = text, path  # noqa: SLF001 - set once, by the one function that makes it
    sweep._study_text = _without("cluster", text, document)  # noqa: SLF001 - the same
    return sweep


def _without(key: str, text: str, document: Document) -> str:
    """The text less the lines of one key of the top level; all of it where keys share lines ({a: ..., b: ...})."""
    starts = sorted(line for loc, line in document.lines.items() if len(loc) == 1)
    first, lines = document.lines.get((key,)), text.splitlines(keepends=True)
    if first is None or not lines[first - 1].startswith(key):
        return text
    after = next((line for line in starts if line > first), len(lines) + 1)
    return "".join([*lines[: first - 1], *lines[after - 1 :]])


def _checked(document: Document) -> tuple[Sweep | None, list[Fault]]:
    """The sweep if there is one, and all faults, each place and message once."""
    sweep, faults = None, list(document.faults)
    if isinstance(document.data, Mapping):
        try:
            sweep = Sweep.model_validate(document.data, context=KEYS_ONLY)
        except ValidationError as error:
            placed = {f.loc for f in faults}
            explained = (explain(dict(e), document.data) for e in error.errors(include_url=False))
            faults += [f for f in explained if f is not None and f.loc not in placed]
        faults += broken_rules(document.data)
    unique = {(f.loc, f.message): f for f in reversed(faults)}
    return sweep, list(unique.values())


def _problems(faults: list[Fault], document: Document, place: str | None) -> Iterator[Problem]:
    placed = sorted(((document.line(f.loc) or 0, dotted(f.loc), f) for f in faults), key=lambda item: item[:2])
    for line, key, fault in placed:
        yield Problem(
            message=fault.message,
            remedy=fault.remedy,
            file=place,
            line=line or None,
            key=key or None,
            value=None if fault.message == LITERAL_KEY else _shown(at(document.data, fault.loc)),
        )


def dotted(loc: Loc) -> str:
    """`bands[1].limit.memory` for ("bands", 1, "limit", "memory")."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if part else ""
    return text.lstrip(".")


def _shown(value: Any) -> str | None:
    """Short YAML-like spelling of a scalar; None for what is absent, too large to show, or may be a key."""
    if value is ... or isinstance(value, (Mapping, list)) or key_like(value):
        return None
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
