"""The analysis section: what is registered, and what a sweep cannot register."""

from __future__ import annotations

import pytest
import yaml

from raysweep.config import parse
from raysweep.errors import InputError
from raysweep.record.rundir import registration


def text(analysis, *, dates=4, **more):
    data = {
        "name": "a",
        "tasks": {"source": "synthetic:2"},
        "models": [{"name": "m", "agent": "oracle"}],
        "bands": [{"name": n, "limit": m} for n, m in (("1x", 1.0), ("3x", 3.0), ("uncapped", "none"))],
        "reference": "1x",
        "repeats": dates,
        "buckets": {"windows": {"night": "00:00-06:00"}, "dates": dates},
        "sandbox": {"kind": "simulated"},
        "analysis": analysis,
        **more,
    }
    return yaml.safe_dump({k: v for k, v in data.items() if v is not None}, sort_keys=False)


def problem(analysis, **more):
    with pytest.raises(InputError) as caught:
        parse(text(analysis, **more))
    (only,) = caught.value.problems
    return only


def test_the_whole_section():
    sweep = parse(text({"primary": "q_trial", "contrasts": ["uncapped", "3x"], "delta": "3pp", "confidence": 0.9,
                        "looks": 4}))  # fmt: skip
    found = sweep.analysis
    assert (found.primary, found.contrasts, found.looks) == ("q_trial", ("uncapped", "3x"), 4)
    assert (found.delta, found.confidence) == (0.03, 0.9)
    assert sweep.registered


def test_left_out_means_every_contrast_no_look_and_nothing_registered():
    sweep = parse(text(None))
    assert (sweep.analysis.contrasts, sweep.analysis.looks, sweep.registered) == ((), 0, False)


@pytest.mark.parametrize(
    ("analysis", "key", "says", "value"),
    [
        ({"contrasts": ["uncaped"]}, "analysis.contrasts[0]", "did you mean `uncapped`", "uncaped"),
        ({"contrasts": ["3x", "1x"]}, "analysis.contrasts[1]", "the reference itself", "1x"),
        ({"contrasts": ["3x", "3x"]}, "analysis.contrasts[1]", "twice", "3x"),
        ({"contrasts": "3x"}, "analysis.contrasts", "must be a list", "3x"),
        ({"looks": 5}, "analysis.looks", "at most 4", "5"),
        ({"looks": -1}, "analysis.looks", "at least 0", "-1"),
        ({"looks": 1.5}, "analysis.looks", "whole number", "1.5"),
        ({"look": 2}, "analysis.look", "did you mean `looks`", "2"),
        ({"primary": "sucess"}, "analysis.primary", "did you mean `success`", "sucess"),
    ],
)
def test_one_fault_is_one_problem(analysis, key, says, value):
    found = problem(analysis)
    assert found.key == key
    assert says in f"{found.message}; {found.remedy}"
    assert found.value == value
    assert found.line is not None


FACTORS = {
    "agent_timeout": {"reference": "1x", "levels": {"1x": 1, "2x": 2, "4x": 4}},
    "concurrency": {"reference": "low", "levels": {"low": 1, "high": 2}},
}


def test_levels_are_registered_by_factor():
    levels = {"agent_timeout": ["4x"], "concurrency": ["high"]}
    sweep = parse(text({"factors": levels}, factors=FACTORS))
    assert sweep.analysis.factors == {"agent_timeout": ("4x",), "concurrency": ("high",)}
    assert sweep.analysis.registered()["factors"] == sweep.analysis.factors


def test_without_registered_levels_the_registration_is_that_of_sweeps_before_there_were_any():
    told = {**parse(text({"primary": "success"})).analysis.registered(), "reference": "1x", "registered": True}
    before = "6c46060009a56810c2d60e47b4b8142152e7eb9df68d9cacd4c0b7df8e9af74a"
    assert registration(told, 0.0)["sha256"] == before


@pytest.mark.parametrize(
    ("analysis", "key", "says"),
    [
        ({"factors": {"agent_timeout": ["3x"]}}, "analysis.factors.agent_timeout[0]", "is not the name of a level"),
        ({"factors": {"agent_timeout": ["1x"]}}, "analysis.factors.agent_timeout[0]", "the reference itself"),
        ({"factors": {"agent_timeout": ["2x", "2x"]}}, "analysis.factors.agent_timeout[1]", "twice"),
        ({"factors": {"agent_timeout": []}}, "analysis.factors.agent_timeout", "at least 1"),
        ({"factors": {"agent_timeuot": ["2x"]}}, "analysis.factors.agent_timeuot", "did you mean `agent_timeout`"),
        ({"factors": {"egress": ["slow"]}}, "analysis.factors.egress", "is not a factor of this sweep"),
        ({"factors": {"agent_timeout": ["2x"]}, "looks": 2}, "analysis.factors", "contrasts of bands only"),
    ],
)
def test_levels_that_cannot_be_registered(analysis, key, says):
    found = problem(analysis, factors=FACTORS)
    assert found.key == key
    assert says in f"{found.message}; {found.remedy}"


def test_looks_need_dates():
    found = problem({"looks": 2}, dates=1)
    assert "plan more `buckets.dates`" in found.remedy
    assert parse(text({"looks": 1}, dates=1)).analysis.looks == 1
    assert problem({"looks": 2}, buckets=None, dates=1).key == "analysis.looks"
