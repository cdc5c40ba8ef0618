"""One clear problem for everything a sweep file can have wrong, and what a right one means."""

import contextlib
import copy
import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raysweep.config import load, parse
from raysweep.config.bands import Multipliers
from raysweep.config.buckets import Window, overlap_faults
from raysweep.config.rules import broken_rules
from raysweep.config.sandbox import StudyFacts
from raysweep.errors import ExitCode, InputError, Problem
from raysweep.study.compose import calendar
from raysweep.units import GIB, Resources
from raysweep.vocabulary import PLATFORM_CAUSES

ROOT = Path(__file__).parents[2]

GOOD: dict[str, Any] = {
    "name": "good",
    "seed": 7,
    "tasks": {"source": "bundled:headroom", "defaults": {"cpus": 1, "memory": "2Gi"}},
    "models": [{"name": "lean", "agent": "scripted", "strategy": "lean"}],
    "bands": [
        {"name": "1x", "request": 1.0, "limit": 1.0},
        {"name": "3x", "request": 1.0, "limit": 3.0},
        {"name": "uncapped", "request": 1.0, "limit": "none"},
    ],
    "reference": "1x",
    "repeats": 6,
    "buckets": {"windows": {"night": "00:00-06:00", "day": "06:00-18:00"}, "dates": 3},
    "sandbox": {"kind": "local"},
}
load_module, model_module = (sys.modules[f"raysweep.config.{name}"] for name in ("load", "model"))
GONE = object()


def changed(**changes: Any) -> dict[str, Any]:
    """GOOD with dotted keys set (`__` is a dot, numbers are list places) or taken away (GONE)."""
    data = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = [int(p) if p.isdigit() else p for p in path.split("__")]
        place: Any = data
        for part in above:
            place = place[part] if isinstance(place, list) else place.setdefault(part, {})
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return data


def problems(text: str | dict[str, Any]) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        parse(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False), Path("sweep.yaml"))
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return list(caught.value.problems)


def sweep(**changes: Any):
    return parse(yaml.safe_dump(changed(**changes), sort_keys=False))


def docker(**options: Any) -> dict[str, Any]:
    """Changes that make the sandbox docker's, with `options`."""
    return {"sandbox": {"kind": "docker", **options}}


def pods(**options: Any) -> dict[str, Any]:
    """Changes that make the sandbox kubernetes', with `options`."""
    return {"sandbox": {"kind": "kubernetes", **options}}


CASES: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    # what is wrong, changes, key, part of the message or remedy, value
    ("unknown key", {"repeets": 3}, "repeets", "did you mean `repeats`", "3"),
    ("unknown nested key", {"tasks__defaults__memroy": "1Gi"}, "tasks.defaults.memroy", "`memory`", "1Gi"),
    ("unknown key of a band", {"bands__0__limits": 2}, "bands[0].limits", "did you mean `limit`", "2"),
    ("wrong memory", {"tasks__defaults__memory": "2 apples"}, "tasks.defaults.memory", "2Gi", "2 apples"),
    ("memory without unit", {"tasks__defaults__memory": 2048}, "tasks.defaults.memory", "unit", "2048"),
    ("wrong cpu", {"tasks__defaults__cpus": "1Gi"}, "tasks.defaults.cpus", "500m", "1Gi"),
    ("no cpu", {"tasks__defaults__cpus": 0}, "tasks.defaults.cpus", "less than 1 millicore", "0"),
    ("boolean cpu", {"tasks__defaults__cpus": True}, "tasks.defaults.cpus", "not a quantity", "true"),
    ("wrong period", {"buckets__period": "1 fortnight"}, "buckets.period", "duration", "1 fortnight"),
    ("period without unit", {"buckets__period": "24"}, "buckets.period", "no unit", "24"),
    ("period of days", {"buckets__period": "48h"}, "buckets.period", "at most a day", "48h"),
    ("delta without unit", {"analysis__delta": 2}, "analysis.delta", "2pp", "2"),
    ("confidence in percent", {"analysis__confidence": 95}, "analysis.confidence", "less than 1", "95"),
    ("same model", {"models": [*GOOD["models"], *GOOD["models"]]}, "models[1].name", "models[0]", "lean"),
    ("same band", {"bands__1__name": "1x"}, "bands[1].name", "bands[0]", "1x"),
    ("unknown reference", {"reference": "2x"}, "reference", "use one of: 1x, 3x, uncapped", "2x"),
    ("missing limit", {"bands__1__limit": GONE}, "bands[1].limit", "`none` for uncapped", None),
    ("null limit", {"bands__1__limit": None}, "bands[1].limit", "`none` for uncapped", "null"),
    ("null limit of one", {"bands__1__limit": {"cpu": None}}, "bands[1].limit.cpu", "`none`", "null"),
    ("limit with unit", {"bands__1__limit": "3x"}, "bands[1].limit", "no unit", "3x"),
    ("negative limit", {"bands__1__limit": -1}, "bands[1].limit", "positive", "-1"),
    ("infinite limit", {"bands__1__limit": float("inf")}, "bands[1].limit", "positive", "inf"),
    ("unlimited request", {"bands__1__request": "none"}, "bands[1].request", "only a limit", "none"),
    ("unlimited request of one", {"bands__1__request": {"memory": "none"}}, "bands[1].request", "only a limit", None),
    ("request over limit", {"bands__1__request": 4}, "bands[1].limit.cpu", "at least 4", "3.0"),
    ("zero repeats", {"repeats": 0}, "repeats", "at least 1", "0"),
    ("half repeats", {"repeats": 1.5}, "repeats", "whole number", "1.5"),
    ("uneven repeats", {"repeats": 7}, "repeats", "use 6 or 9", "7"),
    ("few repeats", {"repeats": 2}, "repeats", "use 3", "2"),
    ("no dates", {"buckets__dates": 0}, "buckets.dates", "at least 1", "0"),
    ("bad zone", {"buckets__timezone": "Europe/Berlni"}, "buckets.timezone", "Europe/Berlin", "Europe/Berlni"),
    ("no zone", {"buckets__timezone": 3}, "buckets.timezone", "America/Los_Angeles", "3"),
    ("overlap", {"buckets__windows__eve": "17:00-20:00"}, "buckets.windows.eve", "`day`", "17:00-20:00"),
    ("overlap over midnight", {"buckets__windows__late": "22:00-01:00"}, "buckets.windows.late", "`night`", None),
    ("empty window", {"buckets__windows__eve": "19:00-19:00"}, "buckets.windows.eve", "00:00-24:00", None),
    ("hour 25", {"buckets__windows__eve": "19:00-25:00"}, "buckets.windows.eve", "24:00", None),
    ("minute 60", {"buckets__windows__eve": "19:60-20:00"}, "buckets.windows.eve", "clock times", None),
    ("offsets on a day", {"buckets__windows__eve": "0s-60s"}, "buckets.windows.eve", "06:00-18:00", "0s-60s"),
    ("unquoted window", {"buckets__windows__eve": 70200}, "buckets.windows.eve", "quotes", "70200"),
    ("no windows", {"buckets__windows": {}}, "buckets.windows", "at least one", None),
    ("list of windows", {"buckets__windows": 3}, "buckets.windows", "list", "3"),
    ("bad weekday", {"buckets__weekdays": ["mon", "tues"]}, "buckets.weekdays", "did you mean `tue`", None),
    ("weekday twice", {"buckets__weekdays": ["mon", "mon"]}, "buckets.weekdays", "once", None),
    ("no weekday", {"buckets__weekdays": []}, "buckets.weekdays", "[mon, tue, wed]", None),
    ("bad start", {"buckets__start": "tomorrow"}, "buckets.start", "2026-03-01", "tomorrow"),
    ("minutes are of cycles", {"buckets__start": "minute"}, "buckets.start", "`start: now`, or a date", "minute"),
    ("unknown kind", {"sandbox__kind": "locl"}, "sandbox.kind", "did you mean `local`", "locl"),
    ("option of another kind", {"sandbox__truth": {}}, "sandbox.truth", "`simulated`", None),
    ("option of a container", {"sandbox__image": "python"}, "sandbox.image", "`docker` and `kubernetes`", "python"),
    ("option of pods alone", docker(qos="native"), "sandbox.qos", "the kind `kubernetes`, not of `docker`", "native"),
    ("option of an engine", pods(docker_host="tcp://h:1"), "sandbox.docker_host", "the kind `docker`, not", None),
    ("misspelt option", pods(namspace="x"), "sandbox.namspace", "did you mean `namespace`", "x"),
    ("no image name", docker(image="Python: slim"), "sandbox.image", "not the name of an image", "Python: slim"),
    ("image is a number", docker(image=3), "sandbox.image", "must be text", "3"),
    ("capabilities", pods(capabilities="stict"), "sandbox.capabilities", "did you mean `strict`", "stict"),
    ("pull", docker(pull="IfNotPresent"), "sandbox.pull", "missing, never, always", "IfNotPresent"),
    ("isolation is text", pods(require_isolation="yes"), "sandbox.require_isolation", "boolean", "yes"),
    ("time-out without unit", docker(start_timeout="90"), "sandbox.start_timeout", "no unit", "90"),
    ("no time to start", docker(start_timeout="0s"), "sandbox.start_timeout", "more than 0", "0s"),
    ("engine by ssh", docker(docker_host="ssh://me@host"), "sandbox.docker_host", "unix:///var/run", "ssh://me@host"),
    ("runtime with a space", docker(docker_runtime="my runsc"), "sandbox.docker_runtime", "gvisor", "my runsc"),
    ("namespace with dots", pods(namespace="a.b"), "sandbox.namespace", "name of a namespace", "a.b"),
    ("empty context", pods(context=""), "sandbox.context", "must not be empty", ""),
    ("unknown qos", pods(qos="unifrom"), "sandbox.qos", "did you mean `uniform`", "unifrom"),
    ("unknown tenancy", pods(tenancy="single"), "sandbox.tenancy", "shared, exclusive", "single"),
    ("unquoted label", pods(node_selector={"spot": True}), "sandbox.node_selector.spot", "quote it", "true"),
    (
        "label with a space",
        pods(node_selector={"pool": "a b"}),
        "sandbox.node_selector.pool",
        "value of a label",
        "a b",
    ),
    ("selector is text", pods(node_selector="pool=a"), "sandbox.node_selector", "mapping", "pool=a"),
    ("toleration is text", pods(tolerations=["pool"]), "sandbox.tolerations[0]", "mapping", "pool"),
    (
        "misspelt toleration",
        pods(tolerations=[{"key": "a", "efect": "NoExecute"}]),
        "sandbox.tolerations[0].efect",
        "did you mean `effect`",
        "NoExecute",
    ),
    (
        "unknown effect",
        pods(tolerations=[{"key": "a", "effect": "NoSchedul"}]),
        "sandbox.tolerations[0].effect",
        "did you mean `NoSchedule`",
        "NoSchedul",
    ),
    (
        "value beside Exists",
        pods(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        "sandbox.tolerations[0].value",
        "needs none",
        "b",
    ),
    ("toleration of nothing", pods(tolerations=[{"value": "b"}]), "sandbox.tolerations[0].key", "Exists", None),
    ("pull secret", pods(pull_secrets=["My Secret"]), "sandbox.pull_secrets[0]", "Kubernetes object", "My Secret"),
    ("priority class", pods(priority_class="High"), "sandbox.priority_class", "Kubernetes object", "High"),
    ("no pods a second", pods(create_rate=0), "sandbox.create_rate", "more than 0", "0"),
    ("nothing may wait", pods(max_pending=0), "sandbox.max_pending", "at least 1", "0"),
    ("unknown executor", {"runner__executor": "rya"}, "runner.executor", "did you mean `ray`", "rya"),
    ("no slot", {"runner__concurrency": 0}, "runner.concurrency", "at least 1", "0"),
    ("text for a number", {"runner__concurrency": "2"}, "runner.concurrency", "whole number", "2"),
    ("free budget", {"budget__usd": 0}, "budget.usd", "more than 0", "0"),
    ("retry of an arm's outcome", {"platform_retries__oom_limit": 1}, "platform_retries.oom_limit", "not a plat", "1"),
    ("negative cap", {"platform_retries__image": -1}, "platform_retries.image", "at least 0", "-1"),
    ("name with a space", {"name": "my sweep"}, "name", "letters", "my sweep"),
    ("name that is a number", {"bands__1__name": 3.0}, "bands[1].name", "quote it", "3.0"),
    ("negative seed", {"seed": -1}, "seed", "at least 0", "-1"),
    ("no model", {"models": []}, "models", "at least 1", None),
    ("model without agent", {"models__0__agent": GONE}, "models[0].agent", "agent: scripted", None),
    ("misspelt agent", {"models__0__agent": GONE, "models__0__agnt": "nop"}, "models[0].agent", "as `agnt`", None),
    ("no tasks", {"tasks": GONE}, "tasks", "required key is missing", None),
    ("section is text", {"runner": "fast"}, "runner", "mapping", "fast"),
    ("bands are no list", {"bands": {"name": "1x"}}, "bands", "list", None),
]


@pytest.mark.parametrize(("changes", "key", "says", "value"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_one_fault_is_one_problem(changes, key, says, value):
    found = [p for p in problems(changed(**changes)) if p.key == key]
    assert len(found) == 1 or key.startswith("bands[1].limit")
    problem = found[0]
    assert says in f"{problem.message}; {problem.remedy}"
    assert problem.file == "sweep.yaml"
    assert problem.line is not None
    assert problem.remedy
    if value is not None:
        assert problem.value == value


def test_nothing_but_the_one_fault_is_named():
    alone = {"request over limit", "no models"}  # a scalar stands for cpu and memory: one problem for each
    for what, changes, key, *_ in CASES:
        found = problems(changed(**changes))
        known = {p.key for p in found}
        extra = known - {key, "reference", "bands[1].limit.memory"}
        assert not extra or what in alone, (what, found)


def test_all_problems_at_once_with_their_lines():
    text = """\
name: all of it
seeed: 1
tasks: {source: bundled:headroom, defaults: {memory: 2 apples}}
models:
  - {name: a, agent: nop}
  - {name: a, agent: nop}
bands:
  - {name: 1x, request: 2.0, limit: 1.0}
  - {name: 5x}
  - {name: 7x, request: {cpu: 3, memory: x}, limit: {cpu: 2}}
reference: 1y
repeats: 5
buckets:
  timezone: Mars/Olympus
  windows: {a: "00:00-06:00", b: "05:00-07:00", c: "7-9"}
  dates: 3
sandbox: {kind: simulated, truth: {platform: {nodelost: 0.1}, task_sd: 2}}
runner: {concurrency: 0}
platform_retries: {image: -1, disk_full: 1}
repeats: 6
"""
    found = {(p.line, p.key) for p in problems(text)}
    assert found == {
        (1, "name"), (2, "seeed"), (3, "tasks.defaults.memory"), (6, "models[1].name"), (8, "bands[0].limit.cpu"),
        (8, "bands[0].limit.memory"), (9, "bands[1].limit"), (10, "bands[2].limit.cpu"),
        (10, "bands[2].request.memory"), (11, "reference"), (12, "repeats"), (14, "buckets.timezone"),
        (15, "buckets.windows.b"), (15, "buckets.windows.c"), (17, "sandbox.truth.platform.nodelost"),
        (17, "sandbox.truth.task_sd"), (18, "runner.concurrency"), (19, "platform_retries.image"),
        (19, "platform_retries.disk_full"), (20, "repeats"),
    }  # fmt: skip


def test_a_whole_problem_as_a_line():
    text = yaml.safe_dump(changed(reference="2x"), sort_keys=False)
    line = text.splitlines().index("reference: 2x") + 1
    assert [str(p) for p in problems(text)] == [
        f"sweep.yaml:{line}: reference: is not the name of a band (got 2x); use one of: 1x, 3x, uncapped"
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", None, "empty"),
        ("# nothing\n", None, "empty"),
        ("- a\n- b\n", 1, "mapping"),
        ("just text", 1, "mapping"),
        ("name: a\nbands: [1, 2\nseed: 1\n", 3, "not YAML"),
        ("name: a\n\tseed: 1\n", 2, "not YAML"),
        ("name: a\n---\nname: b\n", 2, "not YAML"),
        ("name: *nobody\n", 1, "not YAML"),
        ("name: !!python/object:os.system x\n", 1, "cannot be read"),
        ("name: a\nseed: \x00\n", 2, "not YAML"),
        ("bands: &a [*a]\n", 1, "contains itself"),
        ("start: 2026-02-30\n", 1, "cannot be read"),
    ],
)
def test_what_is_no_sweep_at_all(text, line, says):
    found = problems(text)
    assert [p.line for p in found if says in p.message] == [line], found


def test_a_key_that_stands_twice_is_named_with_both_lines():
    found = problems(yaml.safe_dump(GOOD, sort_keys=False) + "seed: 8\n")
    assert [(p.key, p.message) for p in found] == [("seed", "duplicate key, first defined on line 2")]
    assert found[0].line == len(yaml.safe_dump(GOOD, sort_keys=False).splitlines()) + 1


def test_a_window_that_stands_twice_is_named():
    text = yaml.safe_dump(changed(buckets__windows=GONE), sort_keys=False)
    text = text.replace("buckets:\n", 'buckets:\n  windows: {a: "00:00-06:00", a: "06:00-12:00"}\n')
    assert [p.key for p in problems(text)] == ["buckets.windows.a"]


def test_a_key_that_is_not_text_is_named():
    assert [p.key for p in problems(changed(buckets__windows={1: "00:00-06:00"}))] == ["buckets.windows.1"]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for path, says in ((tmp_path / "gone.yaml", "no such file"), (tmp_path, "cannot be read"),
                       (tmp_path / "latin.yaml", "UTF-8")):  # fmt: skip
        with pytest.raises(InputError) as caught:
            load(path)
        assert says in caught.value.problems[0].message
        assert caught.value.problems[0].file == str(path)


def test_the_file_is_kept_as_given(tmp_path):
    text = "# a comment\n" + yaml.safe_dump(GOOD)
    (tmp_path / "s.yaml").write_text(text)
    found = load(tmp_path / "s.yaml")
    assert (found.source_text, found.source_path) == (text, tmp_path / "s.yaml")


def test_what_the_sections_mean():
    found = sweep()
    assert found.tasks.defaults.resources == Resources(1000, 2 * GIB, None)
    assert found.models[0].options == {"strategy": "lean"}
    assert found.windows == (Window("night", 0, 21600), Window("day", 21600, 64800))
    assert (found.dates, found.bucket_names, found.registered) == (3, ("night", "day"), False)
    assert found.platform_retries == dict.fromkeys(PLATFORM_CAUSES, 2)
    assert (found.analysis.delta, found.runner.executor) == (0.02, "ray")


def test_what_is_given_replaces_the_defaults():
    found = sweep(
        analysis={"delta": "3pp"}, platform_retries={"image": 5}, buckets__weekdays=["sat", "sun"],
        buckets__start=dt.date(2026, 3, 1), models__0__options={"depth": 2}, budget={"usd": 20},
    )  # fmt: skip
    assert (found.analysis.delta, found.registered) == (0.03, True)
    assert (found.platform_retries["image"], found.platform_retries["node_lost"]) == (5, 2)
    assert found.buckets is not None
    assert (found.buckets.weekdays, found.buckets.start) == (frozenset({5, 6}), dt.date(2026, 3, 1))
    assert found.models[0].options == {"strategy": "lean", "depth": 2}
    assert (found.budget.usd, found.budget.agent_hours) == (20, None)


def test_without_buckets_one_is_always_open():
    found = sweep(buckets=GONE, repeats=5)
    assert (found.bucket_names, found.dates, found.windows) == (("all",), 1, ())


@pytest.mark.parametrize(
    ("limit", "cpu", "memory", "storage"),
    [
        (3.0, 3.0, 3.0, 1.0), (2, 2.0, 2.0, 1.0), ("none", None, None, 1.0), ({"memory": 5}, 1.0, 5.0, 1.0),
        ({"cpu": "none", "memory": 5}, None, 5.0, 1.0), ({"storage": "none"}, 1.0, 1.0, None), ({}, 1.0, 1.0, 1.0),
    ],
)  # fmt: skip
def test_multipliers(limit, cpu, memory, storage):
    found = sweep(bands__1__limit=limit).bands[1].limit
    assert (found.cpu, found.memory, found.storage) == (cpu, memory, storage)


def test_windows_that_wrap_belong_to_the_date_on_which_they_open():
    found = sweep(buckets__windows={"late": "22:00-04:00", "day": "04:00-22:00"})
    assert found.windows == (Window("day", 14400, 79200), Window("late", 79200, 100800))
    cycles = {"period": "120s", "windows": {"b": "100s-20s", "a": "20s-1m40s"}, "dates": 3}
    assert sweep(buckets=cycles).windows == (Window("a", 20, 100), Window("b", 100, 140))


def test_cycles_of_cron_begin_with_a_minute():
    cycles = {"period": "60s", "windows": {"a": "0s-60s"}, "dates": 3, "start": "minute"}
    found = sweep(buckets=cycles)
    assert calendar(found, 1225.5).occasion("a", 2).opens == 1260.0
    now = sweep(buckets={**cycles, "start": "now"})
    assert calendar(now, 1225.5).occasion("a", 2).opens == 1285.5


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ({"windows": {"a": "0s-130s"}}, "buckets.windows.a"),
        ({"windows": {"a": "0-60"}}, "buckets.windows.a"),
        ({"windows": {"a": "0s-60q"}}, "buckets.windows.a"),
        ({"windows": {"a b": "0s-60s"}}, "buckets.windows.a b"),
        ({"windows": {"a": "00:00-00:01"}}, "buckets.windows.a"),
        ({"weekdays": ["mon"]}, "buckets.weekdays"),
        ({"start": "2026-03-01"}, "buckets.start"),
        ({"weekdays": ["mon"], "timezone": "Nowhere"}, "buckets.weekdays"),
    ],
)
def test_cycles_have_offsets_and_no_calendar(extra, key):
    buckets = {"period": "120s", "windows": {"a": "0s-60s"}, "dates": 3, **extra}
    assert key in [p.key for p in problems(changed(buckets=buckets))]


def test_truth_of_a_simulated_sweep():
    truth = {"success": {"1x": 0.5, "*": 0.6}, "infra": 0.01, "models": {"lean": 0.1}, "duration": ["1s", "1m"]}
    found = sweep(sandbox={"kind": "simulated", "truth": truth}).sandbox.truth
    assert found.success == {"1x": 0.5, "*": 0.6}
    assert (found.infra, found.duration) == ({"*": 0.01}, (1.0, 60.0))
    assert (found.nodes, found.node_loss, found.api_outage, found.latency) == (1, None, None, ())


def test_fault_processes_of_a_simulated_sweep():
    truth = {
        "nodes": 8,
        "node_loss": {"every": "12h", "lasts": "20m"},
        "api_outage": {"every": "1h", "lasts": "5m"},
        "latency": [1.0] * 24,
    }
    found = sweep(sandbox={"kind": "simulated", "truth": truth}).sandbox.truth
    assert found.node_loss is not None
    assert (found.node_loss.every, found.node_loss.share, found.node_loss.lasts) == (43200.0, 0.5, 1200.0)
    assert found.api_outage is not None
    assert (found.api_outage.lasts, found.api_outage.patience, len(found.latency)) == (300.0, 300.0, 24)


@pytest.mark.parametrize(
    ("truth", "key"),
    [
        ({"success": {"1x": 0.5}}, "success"),
        ({"success": {"2x": 0.5, "*": 0.5}}, "success.2x"),
        ({"success": 0.99, "infra": 0.02}, "success.*"),
        ({"success": 1.5}, "success.*"),
        ({"models": {"fat": 0.1}}, "models.fat"),
        ({"platform": {"oom_limit": 0.1}}, "platform.oom_limit"),
        ({"platform": {"image": 0.6, "drained": 0.6}}, "platform"),
        ({"duration": ["2s", "1s"]}, "duration"),
        ({"nodes": 0}, "nodes"),
        ({"latency": [1.0, 2.0]}, "latency"),
        ({"latency": [0.0] * 24}, "latency[0]"),
        ({"node_loss": {"every": "1h"}}, "node_loss.lasts"),
        ({"node_loss": {"every": "1h", "lasts": "2h"}}, "node_loss.lasts"),
        ({"api_outage": {"every": "1h", "lasts": "5m", "patients": "1m"}}, "api_outage.patients"),
        ({"duration": [1, 2]}, "duration[0]"),
    ],
)
def test_a_truth_that_cannot_be(truth, key):
    if key == "duration[0]":  # numbers are seconds already in code, and allowed
        assert sweep(sandbox={"kind": "simulated", "truth": truth}).sandbox.truth.duration == (1.0, 2.0)
        return
    found = problems(changed(sandbox={"kind": "simulated", "truth": truth}))
    assert f"sandbox.truth.{key}" in [p.key for p in found]


def test_a_sweep_made_in_code_is_held_to_the_same_rules():
    good = sweep()
    with pytest.raises(ValueError, match="not the name of a band"):
        type(good).model_validate({**GOOD, "reference": "2x"})
    with pytest.raises(ValueError, match="frozen"):
        good.seed = 8


@pytest.mark.parametrize("changes", [{}, {"reference": "2x"}, {"repeets": 1}], ids=["good", "rule", "key"])
def test_the_rules_between_keys_run_once(changes, monkeypatch):
    calls = []
    for module in (load_module, model_module):
        monkeypatch.setattr(module, "broken_rules", lambda data: calls.append(data) or broken_rules(data))
    with contextlib.suppress(InputError):
        sweep(**changes)
    assert len(calls) == 1


def test_configs_that_ship():
    quickstart = load(ROOT / "configs" / "quickstart.yaml")
    assert [b.name for b in quickstart.bands] == ["1x", "3x", "uncapped"]
    assert quickstart.bands[2].limit == Multipliers.model_validate("none")
    assert [(w.start, w.end) for w in quickstart.windows] == [(0, 60), (60, 120)]
    assert (quickstart.dates, quickstart.repeats, quickstart.runner.concurrency, quickstart.registered) == (
        2,
        2,
        2,
        True,
    )
    in_pods = load(ROOT / "configs" / "kubernetes-quickstart.yaml")
    assert (in_pods.sandbox.kind, in_pods.seed, in_pods.repeats) == ("kubernetes", quickstart.seed, quickstart.repeats)
    assert [b.limit for b in in_pods.bands] == [b.limit for b in quickstart.bands]
    simulated = load(ROOT / "configs" / "simulated.yaml")
    rates = [simulated.sandbox.truth.infra[b.name] for b in simulated.bands]
    assert rates == [0.058, 0.045, 0.033, 0.021, 0.012, 0.005]
    assert (simulated.runner.executor, simulated.sandbox.kind) == ("inprocess", "simulated")


def test_import_is_light():
    heavy = "{'numpy', 'pyarrow', 'scipy', 'ray', 'kubernetes'}"
    code = (
        f"import sys, raysweep.config, raysweep.plan; print(sorted({heavy} & {{m.split('.')[0] for m in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(1, 24)), min_size=2, max_size=4))
def test_overlap_is_two_windows_at_one_hour(spans):
    """Against the plain definition: some hour of the day that two windows cover, wherever they wrap."""
    windows = [Window(f"w{i}", start, start + length) for i, (start, length) in enumerate(spans)]
    hours = [{h % 24 for h in range(int(w.start), int(w.end))} for w in windows]
    truly = any(a & b for i, a in enumerate(hours) for b in hours[i + 1 :])
    assert bool(list(overlap_faults(windows, 24))) == truly


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=True) | st.text(max_size=5)
        | st.sampled_from(["none", "1x", "local", "00:00-01:00", "24h", "all"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["name", "limit", "request", "cpu", "windows", "dates", "kind", "truth", "success", "agent",
                             "options", "period", "weekdays", "start", "source", "defaults", "*"]), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(sorted(GOOD)),
    st.booleans(),
)  # fmt: skip
def test_whatever_stands_in_a_section_is_a_sweep_or_problems_with_remedies(value, key, inside):
    """No content of a file gives a traceback; every problem names its place and remedy."""
    data = copy.deepcopy(GOOD)
    if inside and isinstance(data[key], dict) and isinstance(value, dict):
        data[key].update(value)
    elif inside and isinstance(data[key], list):
        data[key].append(value)
    else:
        data[key] = value
    try:
        parse(yaml.safe_dump(data, sort_keys=False), Path("s.yaml"))
    except InputError as error:
        found = error.problems
    else:
        return
    assert found
    for problem in found:
        assert all((problem.key, problem.line, problem.remedy, problem.message))


def test_options_of_a_container_reach_its_provider_as_plain_values():
    selector, taint = {"pool": "sandboxes"}, {"key": "pool", "operator": "Exists", "effect": "NoSchedule"}
    kubernetes = sweep(
        sandbox={
            "kind": "kubernetes", "image": "localhost/task:dev", "pull": "never", "start_timeout": "90s",
            "network": "none", "node_selector": selector, "tolerations": [taint], "qos": "native", "create_rate": 5,
        }
    ).sandbox.provider_options(StudyFacts())  # fmt: skip
    assert kubernetes == {
        "image": "localhost/task:dev", "capabilities": "package-install", "pull": "never", "require_isolation": False,
        "start_timeout": 90.0, "namespace": "raysweep-sandboxes", "qos": "native", "tenancy": "shared",
        "node_selector": selector, "tolerations": ({**taint, "value": None},), "pull_secrets": (),
        "allow_unreachable_limits": False, "create_rate": 5.0, "max_pending": 50,
    }  # fmt: skip
    docker_options = sweep(sandbox={"kind": "docker", "docker_host": "tcp://h:2375"}).sandbox.provider_options(
        StudyFacts()
    )
    assert docker_options == {
        "image": "docker.io/library/python:3.12-slim-bookworm", "capabilities": "package-install", "pull": "missing",
        "require_isolation": False, "start_timeout": 600.0, "docker_host": "tcp://h:2375",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "python", "python:3.12", "library/python:3.12-slim-bookworm", "docker.io/library/python", "localhost/task:dev",
        "localhost:5000/a/b_c:v1", "ghcr.io/laude-institute/t-bench/ubuntu-24-04:20250624", f"a@sha256:{'0' * 64}",
        f"registry.example:443/x__y/z:1@sha256:{'a' * 64}",
    ],
)  # fmt: skip
def test_names_of_images_that_registries_have(name):
    assert sweep(sandbox={"kind": "docker", "image": name}).sandbox.image == name


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a:", "a@sha256:12", "a//b", "https://a/b", "-a", "a:b:c"])
def test_names_that_no_registry_can_have(name):
    assert [p.key for p in problems(changed(sandbox={"kind": "docker", "image": name}))] == ["sandbox.image"]


def test_probes_are_on_unless_said_otherwise_and_take_seconds_in_bounds():
    def probes(**keys: object):
        return parse(yaml.safe_dump(changed(probes=keys) if keys else GOOD)).probes

    assert (probes().enabled, probes().cpu_s) == (True, 3.0)
    assert (probes(enabled=False, cpu_s=5).enabled, probes(cpu_s=5).cpu_s) == (False, 5.0)
    for key, bad in (("enabled", 1), ("cpu_s", 0.5), ("cpu_s", "3s"), ("moments", 2)):
        found = problems(changed(probes={key: bad}))
        assert [p.key for p in found] == [f"probes.{key}"]
