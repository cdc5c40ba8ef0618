"""The registry: every finding is of a registered estimand with its unit, and the stated source makes each of them."""

import ast
import importlib
import inspect
import re
from dataclasses import fields, replace

import pytest

from raysweep.stats.estimand import ESTIMANDS
from raysweep.stats.finding import Finding

PLAIN = {f.name: None for f in fields(Finding) if f.init} | {
    "estimand": "success", "method": "", "resampled_over": "", "n_tasks": 0, "n_attempts": 0, "n_dates": 0,
    "registered": False, "warnings": (),
}  # fmt: skip


def spellings(module):
    """Patterns of the strings in a module's source; what an f-string fills in is any word."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.escape(node.value)
        if isinstance(node, ast.JoinedStr):
            parts = [re.escape(p.value) if isinstance(p, ast.Constant) else r"\w+" for p in node.values]
            if any(isinstance(p, ast.Constant) for p in node.values):
                yield "".join(parts)


@pytest.mark.parametrize("name", ESTIMANDS)
def test_the_source_of_an_estimand_names_it(name):
    module = importlib.import_module(f"raysweep.stats.{ESTIMANDS[name].source}")
    assert any(re.fullmatch(p, name) for p in spellings(module)), f"{module.__name__} does not make {name}"


def test_names_labels_and_definitions_are_unique_and_there():
    for words in ("label", "definition"):
        said = [getattr(e, words) for e in ESTIMANDS.values()]
        assert all(said)
        assert len(set(said)) == len(said), words
    assert all(name == e.name for name, e in ESTIMANDS.items())


def test_a_finding_of_an_unknown_estimand_is_refused():
    with pytest.raises(ValueError, match="sucess is not a registered estimand"):
        Finding(**PLAIN | {"estimand": "sucess"})


@pytest.mark.parametrize(
    ("estimand", "alone", "against"),
    [("success", "fraction", "points"), ("p_success", "p", "p"), ("change_point", "multiplier", "multiplier")],
)
def test_the_unit_comes_from_the_registry(estimand, alone, against):
    found = Finding(**PLAIN | {"estimand": estimand})
    assert found.unit == alone
    assert replace(found, reference="1x").unit == against
