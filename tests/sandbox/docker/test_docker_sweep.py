"""The command line on a real engine: doctor, a sweep of the headroom set that agrees with local sandboxes, gc."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.record.reader import read_ledger
from raysweep.sandbox.docker.shape import ATTEMPT_LABEL, OWNER_LABEL, RUN_LABEL

pytestmark = [pytest.mark.docker, pytest.mark.e2e]
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
TIMED = "compress-chunks"
SWEEP = """\
name: agreement
seed: 20260205
tasks: {{source: bundled:headroom}}
models:
  - {{name: lean, agent: scripted, strategy: lean}}
  - {{name: heavy, agent: scripted, strategy: heavy}}
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 1
sandbox: {sandbox}
runner: {{concurrency: 2}}
"""


def raysweep(*words):
    return subprocess.run([RAYSWEEP, *map(str, words)], capture_output=True, text=True, check=False)


def finals(run):
    rows = read_ledger(run).table.to_pylist()
    return {(r["task"], r["model"], r["band"]): r for r in rows if r["is_final"]}


def judged(rows):
    """Outcome, cause and reward of each trial; no reward where the agent races a time limit on a busy machine."""
    return {
        key: (row["outcome"], row["cause"], None if row["task"] == TIMED else row["reward"])
        for key, row in rows.items()
    }


def test_a_sweep_in_containers_agrees_with_local_task_by_task(tmp_path, test_image, needs_local, engine_traces):
    before = engine_traces()
    runs = {}
    for kind, sandbox in {
        "docker": f"{{kind: docker, image: '{test_image}', pull: never}}",
        "local": "{kind: local}",
    }.items():
        config = tmp_path / f"{kind}.yaml"
        config.write_text(SWEEP.format(sandbox=sandbox))
        done = raysweep("run", config, "--run-dir", tmp_path / kind)
        assert done.returncode == 0, done.stderr
        runs[kind] = finals(tmp_path / kind)
    assert not engine_traces() - before
    assert judged(runs["docker"]) == judged(runs["local"])
    rows = runs["docker"].values()
    assert len(rows) == 40
    killed = {row["band"] for row in rows if row["cause"] in {"oom_limit", "oom_verifier"}}
    assert killed == {"1x"}, "real kills at 1x, none uncapped"
    nodes = [dict(row["node"]) for row in rows]
    assert {node["image"] for node in nodes} == {test_image}
    assert all(node["image_digest"].startswith("sha256:") for node in nodes)
    report = raysweep("report", tmp_path / "docker")
    assert report.returncode in {0, 3}, report.stderr


def test_doctor_looks_at_one_engine_or_at_both_kinds(tmp_path, test_image, needs_local):
    config = tmp_path / "sweep.yaml"
    config.write_text(SWEEP.format(sandbox=f"{{kind: docker, image: '{test_image}', pull: never}}"))
    one = json.loads(raysweep("doctor", "--config", config, "--json").stdout)
    assert (one["ok"], one["kind"]) == (True, "docker")
    assert {"engine", "memory limit", "cpu limit", "pids limit", "network isolation"} <= {
        check["name"] for check in one["checks"] if check["ok"]
    }
    both = json.loads(raysweep("doctor", "--json").stdout)
    assert both["ok"] is True
    assert [kind["kind"] for kind in both["kinds"]] == ["local", "docker"]


def test_doctor_refuses_an_engine_that_is_not_there_and_a_runtime_that_it_lacks(tmp_path, test_image):
    config = tmp_path / "sweep.yaml"
    config.write_text(SWEEP.format(sandbox=f"{{kind: docker, docker_host: 'unix://{tmp_path}/none.sock'}}"))
    away = raysweep("doctor", "--config", config)
    assert away.returncode == 4
    assert "remedy: start Docker" in away.stdout
    run = raysweep("run", config, "--run-dir", tmp_path / "run")
    assert run.returncode == 4
    assert not (tmp_path / "run").exists()
    config.write_text(SWEEP.format(sandbox="{kind: docker, docker_runtime: no-such-runtime}"))
    lacks = raysweep("doctor", "--config", config)
    assert lacks.returncode == 4
    assert "no-such-runtime is not among" in lacks.stdout


async def test_gc_on_the_command_line_clears_the_engine_too(engine, provider, test_image):
    dead = "/".join([*provider.shape().owner.split("/")[:3], "999999999", "1"])
    labels = {RUN_LABEL: "dead", ATTEMPT_LABEL: "a-1", OWNER_LABEL: dead}
    await engine.create("rs-dead-a-1", {"Image": test_image, "Cmd": ["true"], "Labels": labels})
    removed = json.loads(raysweep("gc", "--json").stdout)["removed"]
    assert "container rs-dead-a-1" in removed
    assert await engine.inspect("rs-dead-a-1") is None
