from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from raysweep.agent import agent_kinds, make_agent, registry
from raysweep.agent.builtin import Nop, Oracle, Scripted


def test_the_built_in_kinds():
    assert make_agent("oracle", {}) == Oracle()
    assert make_agent("nop", {}) == Nop()
    assert make_agent("scripted", {"strategy": "lean"}) == Scripted("lean")
    assert {"oracle", "nop", "scripted"} <= set(agent_kinds())
    options = {"scripted": {"strategy": "x"}, "mini-swe": {"model": "m"}}
    assert [make_agent(k, options.get(k, {})).kind for k in registry.BUILT_IN] == [
        "oracle",
        "nop",
        "scripted",
        "mini-swe",
    ]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("orakel", {}, "no agent of kind 'orakel'; did you mean 'oracle'"),
        ("zzz", {}, "known kinds are mini-swe, nop, oracle, scripted"),
        ("scripted", {"stratgy": "x"}, "no option 'stratgy'; did you mean 'strategy'"),
        ("nop", {"strategy": "x"}, "it takes no options"),
        ("scripted", {}, "needs the option 'strategy'"),
        ("scripted", {"strategy": 3}, "needs the option 'strategy'"),
        ("scripted", {"strategy": "../x"}, "needs the option 'strategy'"),
        ("mini-swe", {}, "option 'model': field required"),
        ("mini-swe", {"model": "m", "temprature": 1}, "option 'temprature'.*it takes model, config"),
        ("mini-swe", {"model": "m", "retries": -1}, "option 'retries'"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(kind, options, message):
    with pytest.raises(ValueError, match=message):
        make_agent(kind, options)


PLUG_IN = """
class Mine:
    kind = "mine"

    def __init__(self, options):
        self.options = dict(options)

    def unfit(self, task):
        return None

    async def run(self, sandbox, task, *, seed, timeout_s):
        return None


def make(options):
    if "raise" in options:
        raise KeyError("raise")
    return None if "none" in options else Mine(options)
"""


def test_a_plug_in_that_cannot_be_imported_is_named_with_its_package(monkeypatch):
    known = EntryPoints([EntryPoint("mine", "there_is_no_such_module:make", registry.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(registry, "entry_points", known.select)
    with pytest.raises(ValueError, match=r"cannot be imported .ModuleNotFoundError.*; mend or remove"):
        make_agent("mine", {})


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch, tmp_path):
    (tmp_path / "plugged_in_agent.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    known = EntryPoints([EntryPoint("mine", "plugged_in_agent:make", registry.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(registry, "entry_points", known.select)
    assert make_agent("mine", {"a": 1}).options == {"a": 1}
    for options, message in (({"raise": 1}, "does not take these options .KeyError"), ({"none": 1}, "is no agent")):
        with pytest.raises(ValueError, match=message):
            make_agent("mine", options)
    assert "mine" in agent_kinds()
    assert make_agent("nop", {}) == Nop()
    sys.modules.pop("plugged_in_agent")
