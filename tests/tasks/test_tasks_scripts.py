from __future__ import annotations

import pytest

from raysweep.tasks.scripts import start_problem, writes_ctrf


@pytest.mark.parametrize(
    "line",
    [
        "pytest --ctrf /logs/verifier/ctrf.json /tests",
        'uvx pytest "--ctrf=/logs/verifier/ctrf.json"',
        "if true; then pytest --ctrf /logs/verifier/ctrf.json; fi",
        "make_report>/logs/verifier/ctrf.json",
        "pytest \\\n  --ctrf \\\n  $LOGS/ctrf.json",
    ],
)
def test_a_command_that_writes_ctrf_is_seen(line):
    assert writes_ctrf(f"#!/bin/sh\n{line}\n".encode())


@pytest.mark.parametrize(
    "line",
    [
        "# was: pytest --ctrf /logs/verifier/ctrf.json",
        "true # > ctrf.json",
        'echo "use --ctrf /logs/verifier/ctrf.json"',
        "rm -f /logs/verifier/ctrf.json",
        "pytest /tests",
        "[ -f /logs/verifier/ctrf.json ] || true",
    ],
)
def test_a_mention_is_no_command_that_writes(line):
    assert not writes_ctrf(f"#!/bin/sh\n{line}\n".encode())


def test_windows_line_ends_are_a_reason_not_to_start():
    assert "CR LF" in (start_problem(b"#!/bin/sh\r\necho 1\r\n") or "")
    assert start_problem(b"#!/bin/sh\nprintf 'a\r\n'\n") is None
    assert start_problem(b"") is None
