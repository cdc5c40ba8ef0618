"""The mutants of benchmarks/mutation: each is a module that can be read, with one place changed."""

from __future__ import annotations

import ast

from benchmarks.mutation.mutants import mutants

SOURCE = '''\
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1 + 1


def first(values: list[int] = [1]) -> "tuple[int, 2]":
    """Doc é of 1 < 2."""
    return max(values) if len(values) > 0 and not False else -1
'''
TEST = "len(values) > 0 and not False"


def test_each_mutant_changes_one_place_and_nothing_that_is_for_readers_or_checkers_only():
    found = mutants(SOURCE)
    original = SOURCE.splitlines()
    for mutant in found:
        ast.parse(mutant.text)
        changed = [n for n, (a, b) in enumerate(zip(original, mutant.text.splitlines(), strict=True), 1) if a != b]
        assert changed == [mutant.line]
    assert {(m.line, m.before, m.after) for m in found} == {
        (7, "1", "2"),
        (9, f"max(values) if {TEST} else -1", "max(values) if not (len(values) > 0 and (not False)) else -1"),
        (9, "max(values)", "min(values)"),
        (9, "len(values) > 0", "len(values) >= 0"),
        (9, TEST, "len(values) > 0 or not False"),
        (9, "0", "1"),
        (9, "not False", "False"),
        (9, "False", "True"),
        (9, "-1", "1"),
        (9, "1", "2"),
    }  # fmt: skip
