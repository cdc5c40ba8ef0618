"""How `-n` spreads the tests: every file that it names is there, and one file is one worker's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from support.spread import LONG, STARTS_RAY, long_first, unit_of

ROOT = Path(__file__).parents[1]


def test_the_files_that_are_named_are_there():
    assert [name for name in (*STARTS_RAY, *LONG) if not (ROOT / name).exists()] == []


def test_files_stay_whole_and_what_takes_long_comes_first():
    names = [
        "tests/a.py::test_x",
        "tests/a.py::test_y[b::c]",
        f"{LONG[0]}::test_z",
        f"{next(iter(STARTS_RAY))}::test_w",
    ]
    items = [SimpleNamespace(nodeid=name) for name in names]
    long_first(items)
    assert [item.nodeid for item in items] == [names[3], names[2], names[0], names[1]]
    assert unit_of(names[0]) == unit_of(names[1]) == "tests/a.py"
    assert len({unit_of(f"{file}::test") for file in STARTS_RAY}) == 2
