"""mini-swe-agent in real sweeps on local sandboxes, against the scripted model server."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raysweep.record.reader import read_ledger
from raysweep.stats.endings import y_of
from raysweep.testing.headroom_model import SUBMIT, play
from raysweep.testing.model_server import Conditions, ModelServer
from raysweep.testing.model_wire import Reply
from support.cli_runs import raysweep, status_of
from support.task_folders import make_task

pytestmark = [pytest.mark.sandbox, pytest.mark.e2e]
KEY = "sk-a-key-that-must-not-be-anywhere"
SWEEP = """\
name: models
seed: 3
tasks: {{source: "{source}", include: [{include}]}}
apis:
  fake:
    protocol: {protocol}
    base_url: {url}
    key_env: FAKE_KEY
    prices: {{lean: {{input: 2, output: 8, cached: 0.5}}, heavy: {{input: 2, output: 8}}}}
    {more}
models:
{models}
bands: {bands}
reference: 1x
repeats: {repeats}
sandbox: {{kind: local}}
runner: {{concurrency: 2, executor: {executor}}}
probes: {{enabled: false}}
platform_retries: {{api_rate_limited: 1, api_down: 1}}
block_reruns: 0
"""
BOTH = "[{name: 1x, request: 1.0, limit: 1.0}, {name: uncapped, request: 1.0, limit: none}]"
ONE = "[{name: 1x, request: 1.0, limit: 1.0}]"


def sweep(folder, server, **keys):
    values = {
        "source": "bundled:headroom", "include": "sort-lines, edit-settings", "protocol": "openai", "more": "",
        "bands": BOTH, "repeats": 1, "executor": "inprocess", "models": ["lean"], "url": server.url, **keys,
    }  # fmt: skip
    names = values["models"]
    values["models"] = "\n".join(
        f"  - {{name: {n}, agent: mini-swe, api: fake, model: {n}, retries: 2}}" for n in names
    )
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(**values))
    return path


def run(folder, server, *, code=0, **keys):
    done = raysweep("run", sweep(folder, server, **keys), "--run-dir", folder / "run", FAKE_KEY=KEY)
    assert done.returncode == code, done.stderr
    return read_ledger(folder / "run").table


def answered(server):
    return [c for c in server.calls if c.status == 200]


@pytest.mark.parametrize(("protocol", "executor"), [("openai", "ray"), ("anthropic", "inprocess")])
def test_strategies_solve_and_fail_the_bundled_tasks_and_the_sums_equal_the_server_s(tmp_path, protocol, executor):
    with ModelServer(play) as server:
        rows = run(
            tmp_path, server, protocol=protocol, executor=executor, models=["lean", "heavy"], include="sort-lines"
        ).to_pylist()
    assert {(r["model"], r["band"]): r["reward"] for r in rows} == {
        ("lean", "1x"): 1.0,
        ("lean", "uncapped"): 1.0,
        ("heavy", "1x"): 0.0,
        ("heavy", "uncapped"): 1.0,
    }
    killed = next(r for r in rows if (r["model"], r["band"]) == ("heavy", "1x"))
    assert killed["oom_kills"] >= 1
    assert {r["outcome"] for r in rows} == {"scored"}
    for name in ("tokens_in", "tokens_out", "tokens_cached"):
        assert sum(r[name] for r in rows) == sum(getattr(c, name) for c in server.calls)
    assert sum(r["api_calls"] for r in rows) == len(server.calls) == 8
    assert all(c.key == KEY for c in server.calls)
    lean = [c for c in server.calls if c.model == "lean"]
    usd = sum((c.tokens_in - c.tokens_cached) * 2 + c.tokens_cached * 0.5 + c.tokens_out * 8 for c in lean) / 1e6
    assert sum(r["cost_usd"] for r in rows if r["model"] == "lean") == pytest.approx(usd)
    assert {r["harness"].split()[0] for r in rows} == {"mini-swe-agent"}
    assert all(r["models_named"] == r["model"] for r in rows)
    assert not holding(tmp_path / "run", KEY)
    traces = tmp_path / "run" / "traces" / rows[0]["attempt_id"]
    assert pq.read_table(traces / "calls.parquet").num_rows == 2
    assert "rs-" not in (traces / "agent-trajectory.json").read_text()


def holding(folder, text):
    return [p for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def slow_task(folder, agent_timeout_s):
    toml = f"[environment]\ncpus = 1\nmemory_mb = 64\n[agent]\ntimeout_sec = {agent_timeout_s}\n"
    test = "#!/bin/sh\ntest -f /app/done && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt\n"
    make_task(folder / "tasks", "slow", toml, {"tests/test.sh": test})
    return "tasks"


def solve(prompt):
    return Reply(command="touch /app/done") if prompt.turn == 0 else Reply(command=SUBMIT)


def test_an_api_that_refuses_every_call_is_never_a_plain_0(tmp_path):
    source = slow_task(tmp_path, 60)
    with ModelServer(solve, Conditions(fail_all=429, retry_after="0")) as server:
        table = run(tmp_path, server, code=3, source=source, include="slow", bands=ONE)
    rows = table.to_pylist()
    assert [(r["outcome"], r["cause"], r["cause_class"]) for r in rows] == [
        ("model_api", "api_rate_limited", "platform")
    ] * 2  # the first attempt and its one retry
    assert y_of(table).to_pylist() == [None, None]
    assert [r["api_429"] for r in rows] == [3, 3]
    assert rows[0]["detail"].startswith("429 rate_limited: scripted 429; blocked for")


def test_an_agent_that_ran_out_of_time_blocked_by_the_api_is_the_api_s(tmp_path):
    source = slow_task(tmp_path, 4)
    with ModelServer(solve, Conditions(fail_all=503, retry_after="30")) as server:
        rows = run(tmp_path, server, code=3, source=source, include="slow", bands=ONE).to_pylist()
    assert {(r["outcome"], r["cause"], r["timed_out"]) for r in rows} == {("model_api", "api_down", True)}
    assert all(r["api_blocked_s"] >= 2 for r in rows)


def test_an_agent_that_was_held_up_and_went_on_is_scored_with_its_blocked_time_beside(tmp_path):
    source = slow_task(tmp_path, 60)
    with ModelServer(solve, Conditions(fail=[429], retry_after="1")) as server:
        (row,) = run(tmp_path, server, source=source, include="slow", bands=ONE).to_pylist()
    assert (row["outcome"], row["reward"], row["api_429"], row["api_calls"]) == ("scored", 1.0, 1, 3)
    assert row["api_blocked_s"] >= 1.0


def test_an_agent_that_was_slow_by_itself_is_scored_at_its_time_limit(tmp_path):
    source = slow_task(tmp_path, 4)
    with ModelServer(lambda _: Reply(command="sleep 30")) as server:
        (row,) = run(tmp_path, server, source=source, include="slow", bands=ONE).to_pylist()
    assert (row["outcome"], row["reward"], row["timed_out"]) == ("scored", 0.0, True)
    assert row["api_blocked_s"] == 0.0


def test_an_agent_at_its_time_limit_has_its_open_call_cut_and_recorded(tmp_path):
    source = slow_task(tmp_path, 3)
    with ModelServer(solve, Conditions(silent=True)) as server:
        (row,) = run(tmp_path, server, source=source, include="slow", bands=ONE).to_pylist()
    assert (row["outcome"], row["timed_out"], row["api_calls"], row["api_unpriced"]) == ("scored", True, 1, 1)
    assert dict(row["api_errors"]) == {"cut": "1"}
    assert server.calls[0].ended is None


def test_a_runner_that_is_killed_in_the_middle_of_a_call_loses_none_and_doubles_none(tmp_path):
    """The lost attempt's row has the calls that the runner had made; the attempt that follows has its own."""
    source = slow_task(tmp_path, 60)
    killed = []

    def script(prompt):
        if prompt.turn == 1 and not killed:
            killed.append(kill_runner_with_open_call(server))
        return solve(prompt)

    with ModelServer(script) as server:
        path = sweep(tmp_path, server, source=source, include="slow", bands=ONE, executor="ray")
        done = raysweep("run", path, "--run-dir", tmp_path / "run", FAKE_KEY=KEY)
        assert done.returncode == 0, done.stderr
    rows = read_ledger(tmp_path / "run").table.to_pylist()
    assert [(r["outcome"], r["cause"], r["api_calls"]) for r in rows] == [
        ("infra", "runner_lost", 2),
        ("scored", None, 2),
    ]
    assert dict(rows[0]["api_errors"]) == {"cut": "1"}
    assert sum(r["api_calls"] for r in rows) == len(server.calls)
    finished = [c for c in server.calls if c.whole]
    assert sum(r["tokens_in"] for r in rows) == sum(c.tokens_in for c in finished if c is not server.calls[1])


def kill_runner_with_open_call(server):
    """SIGKILL for the process that holds the other end of a connection to the server."""
    port = int(server.url.rpartition(":")[2])
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{c[9]}]" for c in connections if int(c[2].rpartition(":")[2], 16) == port}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            opened = {link.readlink().name for link in (entry / "fd").iterdir()}
            if int(entry.name) != os.getpid() and opened & sockets:
                os.kill(int(entry.name), signal.SIGKILL)
                return int(entry.name)
    raise AssertionError("nobody calls the server")


def test_a_budget_stops_the_sweep_before_it_is_overspent(tmp_path):
    source = slow_task(tmp_path, 60)
    with ModelServer(lambda p: Reply(command="echo " + "x" * 4000 if p.turn < 20 else SUBMIT)) as server:
        path = sweep(tmp_path, server, source=source, include="slow", bands=ONE, repeats=20)
        text = path.read_text().replace("input: 2, output: 8, cached: 0.5", "input: 10, output: 40")
        path.write_text(text + "budget: {usd: 1.0, trial_usd: 0.2, usd_per_cpu_hour: 0, usd_per_gib_hour: 0}\n")
        path.write_text(path.read_text().replace("model: lean,", "model: lean, parameters: {max_tokens: 1100},"))
        done = raysweep("run", path, "--run-dir", tmp_path / "run", FAKE_KEY=KEY)
        assert done.returncode == 3, done.stderr
        assert "of the budget of 1 usd" in done.stderr
        spent = sum(c.tokens_in * 10 + c.tokens_out * 40 for c in answered(server)) / 1e6
    attempts = read_ledger(tmp_path / "run").table
    assert 0.4 < spent <= 1.0
    told = status_of(tmp_path / "run")["models"]
    assert told["usd"] == pytest.approx(spent)
    refused = sum(int(dict(errors)["over_budget"]) for errors in attempts["api_errors"].to_pylist())
    assert (told["calls"] - refused, told["unpriced"]) == (len(server.calls), 0)
    assert f"{spent:.2f} USD" in raysweep("status", tmp_path / "run").stdout
    assert pc.sum(attempts["cost_usd"]).as_py() == pytest.approx(spent)
    assert max(attempts["cost_usd"].to_pylist()) <= 0.2


def test_a_key_that_is_not_set_is_told_before_anything_runs(tmp_path):
    with ModelServer(play) as server:
        done = raysweep("run", sweep(tmp_path, server), "--run-dir", tmp_path / "run", FAKE_KEY="")
    assert done.returncode == 2
    assert "the environment variable FAKE_KEY is empty or not set" in done.stderr
    assert server.calls == []
