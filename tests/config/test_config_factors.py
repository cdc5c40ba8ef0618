"""The factors section: what is right, and one clear problem with a remedy for everything it can have wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from raysweep.config import parse
from raysweep.config.factors import agent_multiplier, trials_at_once
from raysweep.errors import InputError

TIMEOUT = {"reference": "1x", "levels": {"1x": 1.0, "2x": 2.0}}
LOAD = {"reference": "low", "levels": {"low": 1, "high": 2}}
EGRESS = {"reference": "free", "levels": {"free": "none", "slow": "1Mi"}}
NODES = {"reference": "small", "levels": {"small": {"pool": "small"}, "large": {"pool": "large"}}}


def sweep(factors: Any, **more: Any):
    data = {
        "name": "s",
        "tasks": {"source": "synthetic:3"},
        "models": [{"name": "m", "agent": "nop"}],
        "bands": [{"name": "1x", "limit": 1}],
        "reference": "1x",
        "repeats": 1,
        "sandbox": {"kind": "simulated"},
        "factors": factors,
        **more,
    }
    return parse(yaml.safe_dump(data, sort_keys=False), Path("sweep.yaml"))


def test_each_factor_moves_alone_unless_the_grid_is_full():
    both = {"concurrency": LOAD, "agent_timeout": TIMEOUT}
    alone = [(("agent_timeout", "2x"),), (("concurrency", "high"),)]
    assert list(sweep(both).factors.combinations()) == [(levels, False) for levels in alone]
    full = {levels for levels, everywhere in sweep({**both, "design": "full"}).factors.combinations() if everywhere}
    assert full == {*alone, (("agent_timeout", "2x"), ("concurrency", "high"))}
    assert list(sweep({}).factors.combinations()) == []


def test_an_arm_gets_the_value_of_its_level_or_of_the_reference():
    factors = sweep({"agent_timeout": {"reference": "long", "levels": {"long": 3, "1x": 1}}, "egress": EGRESS}).factors
    assert agent_multiplier(factors, ()) == 3
    assert agent_multiplier(factors, (("agent_timeout", "1x"),)) == 1
    assert factors.value("egress", (("egress", "slow"),)) == 1 << 20
    assert factors.value("egress", ()) is None
    assert trials_at_once(factors, ()) is None
    assert agent_multiplier(sweep({}).factors, ()) == 1


def levels(name: str, found: dict[str, Any], reference: str | None = None) -> dict[str, Any]:
    return {name: {"reference": reference or next(iter(found)), "levels": found}}


KUBERNETES = {"sandbox": {"kind": "kubernetes", "node_selector": {"pool": "small", "zone": "a"}}}


@pytest.mark.parametrize(
    ("factors", "more", "key", "value", "message", "remedy"),
    [
        ({"agent_timeot": TIMEOUT}, {}, "agent_timeot", None, "unknown key", "`agent_timeout`"),
        ({"design": "ful"}, {}, "design", "ful", "possible values", "`full`"),
        (levels("agent_timeout", {"1x": 1}), {}, "agent_timeout.levels", None, "one level", "add a second"),
        ({"agent_timeout": {"levels": {"1x": 1, "2x": 2}}}, {}, "agent_timeout.reference", None, "missing", "1x"),
        (levels("agent_timeout", {"1x": 1, "2x": 2}, "3x"), {}, "agent_timeout.reference", "3x", "name of a level",
         "1x, 2x"),
        (levels("agent_timeout", {"1x": 1, "2x": "120s"}), {}, "agent_timeout.levels.2x", "120s", "not a multiplier",
         "2.0"),
        (levels("agent_timeout", {"1x": 1, "2x": 0}), {}, "agent_timeout.levels.2x", "0", "positive", "2.0"),
        (levels("agent_timeout", {"1x": 1, "2x": 1.0}), {}, "agent_timeout.levels.2x", "1.0", "of `1x`", "its own"),
        (levels("concurrency", {"low": 1, "high": 8}), {}, "concurrency.levels.high", "8", "above `runner.concurrency`",
         "raise `runner.concurrency` to 8"),
        (levels("concurrency", {"low": 1, "high": "2Gi"}), {}, "concurrency.levels.high", "2Gi", "a whole", "low"),
        (levels("egress", {"free": None, "slow": "1Mi"}), {}, "egress.levels.free", "null", "a bandwidth", "`none`"),
        (levels("egress", {"free": "none", "slow": "2m"}), {}, "egress.levels.slow", "2m", "not a bandwidth", "1Mi"),
        (levels("egress", {"free": "none", "slow": 8}), {}, "egress.levels.slow", "8", "less than 1 KiB", "1Mi"),
        ({"node_type": NODES}, {}, "node_type", None, "not of `simulated`", "change `sandbox.kind`"),
        ({"node_type": NODES}, KUBERNETES, "node_type.levels.large.pool", "large", "wants of every node", "one"),
        (levels("node_type", {"a": {"kubernetes.io/arch": "arm64"}, "b": {"zone": "a"}}), KUBERNETES,
         "node_type.levels.a.kubernetes.io/arch", "arm64", "whole sweep", "`sandbox.node_selector`"),
        (levels("node_type", {"a": {}, "b": {"zone": "a"}}), KUBERNETES, "node_type.levels.a", None, "more entries",
         "small"),
        ({"egress": EGRESS}, {"sandbox": {"kind": "simulated", "truth": {"factors": {"egres": {}}}}},
         "sandbox.truth.factors.egres", None, "not a factor", "`egress`"),
        ({"egress": EGRESS}, {"sandbox": {"kind": "simulated", "truth": {"factors": {"egress": {"slw": 0.1}}}}},
         "sandbox.truth.factors.egress.slw", "0.1", "name of a level", "`slow`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_with_its_place_and_a_remedy(factors, more, key, value, message, remedy):
    with pytest.raises(InputError) as caught:
        sweep(factors, **more)
    (problem,) = caught.value.problems
    assert problem.key == (key if key.startswith("sandbox") else f"factors.{key}")
    assert (problem.file, problem.value) == ("sweep.yaml", value)
    assert message in problem.message
    assert remedy in problem.remedy


def test_a_level_above_the_capacity_is_said_even_where_other_keys_are_wrong():
    with pytest.raises(InputError) as caught:
        sweep(levels("concurrency", {"low": 1, "high": 8}), repeats="many")
    assert [p.key for p in caught.value.problems] == ["repeats", "factors.concurrency.levels.high"]
