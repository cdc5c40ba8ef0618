"""What a task's scripts say about themselves, read as text: whether Linux can start them, what they write; pure."""

from __future__ import annotations

import contextlib
import re
import shlex

_CTRF_PATH = re.compile(r"ctrf\.json$")
_REDIRECTS = frozenset({">", ">|", ">>"})
_OPTIONS = frozenset({"--ctrf", "--ctrf-file"})


def start_problem(data: bytes) -> str | None:
    """Why a script with this content cannot start on Linux, or None.

    With a carriage return at the end of its first line the kernel looks for an interpreter whose name ends in one.
    """
    first = data.split(b"\n", 1)[0]
    if first.endswith(b"\r"):
        return "lines end with CR LF (Windows), so Linux cannot find its interpreter"
    return None


def writes_ctrf(data: bytes) -> bool:
    """Whether a command of this shell script writes ctrf.json: by `--ctrf PATH`, `--ctrf=PATH` or a redirection.

    Comments and text inside quotes do not count.
    """
    text = data.decode("utf-8", errors="replace").replace("\\\n", " ")
    return any(_line_writes_ctrf(line) for line in text.splitlines())


def _line_writes_ctrf(line: str) -> bool:
    if "ctrf.json" not in line:
        return False
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    with contextlib.suppress(ValueError):  # a quote that another line closes: what was read before it counts
        words.extend(lexer)
    before = ["", *words]
    for previous, word in zip(before, words, strict=False):
        option, equals, value = word.partition("=")
        if option in _OPTIONS and equals and _CTRF_PATH.search(value):
            return True
        if (previous in _OPTIONS or previous in _REDIRECTS) and _CTRF_PATH.search(word):
            return True
    return False
