"""No two modules import each other, imports inside functions included."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import raysweep

PACKAGE = Path(raysweep.__file__).parent


def modules():
    """Dotted name and file of each module of ours."""
    for path in PACKAGE.rglob("*.py"):
        if "headroom" not in path.parts:
            name = ".".join(("raysweep", *path.relative_to(PACKAGE).with_suffix("").parts))
            yield name.removesuffix(".__init__"), path


def imports(text, known):
    """Modules among `known` that a source text imports anywhere."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            yield from inner or {node.module}


def expect_no_cycle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_two_modules_import_each_other():
    files = dict(modules())
    assert len(files) > 200
    expect_no_cycle({name: set(imports(path.read_text(), files)) - {name} for name, path in files.items()})


def test_an_import_inside_a_function_counts():
    assert set(imports("def f():\n    from a import b\n", {"a": 0, "a.b": 0})) == {"a.b"}
    with pytest.raises(pytest.fail.Exception, match=r"a -> b -> a|b -> a -> b"):
        expect_no_cycle({"a": {"b"}, "b": {"a"}})
