"""Agents from a package outside the repository: one that works, and one that does all that an agent must not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep_process
from support.packages import install
from support.task_folders import make_task

pytestmark = [pytest.mark.sandbox, pytest.mark.e2e]
MODULE = """
    import asyncio
    import threading
    import time

    from raysweep.record.evidence import AgentFacts, CommandFacts


    class Good:
        kind = "good"

        def __init__(self, options):
            self.options = options

        def warm(self):
            global WARM
            WARM = True

        def unfit(self, task):
            return None

        async def prepare(self, sandbox, task):
            await sandbox.exec("mine-prepare", ["/bin/sh", "-c", "echo tool > /app/tool"])

        async def run(self, sandbox, task, *, seed, timeout_s):
            assert WARM and threading.current_thread() is not threading.main_thread()
            done = await sandbox.exec("agent", ["/bin/sh", "-c", "cp /app/tool /app/out"], timeout_s=timeout_s)
            return AgentFacts(command=done.facts, tokens_in=7, traces={"chat.json": b"[]"})


    class Bad(Good):
        kind = "bad"

        async def prepare(self, sandbox, task):
            if self.options["how"] == "prepare":
                raise RuntimeError("no tool")

        async def run(self, sandbox, task, *, seed, timeout_s):
            how = self.options["how"]
            if how == "raises":
                raise ConnectionError("no route")
            if how == "exits":
                raise SystemExit(3)
            if how == "nonsense":
                return {"score": 1}
            if how == "misreports":
                return AgentFacts(tokens_in="many")
            if how == "pretends":
                from raysweep.errors import SandboxError
                raise SandboxError("node_lost", "give me another try")
            if how == "blocks":
                time.sleep(3600)
            if how == "ignores":
                while True:
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        pass
            if how == "hangs":
                done = await sandbox.exec("agent", ["/bin/sh", "-c", "sleep 3600"])
                return AgentFacts(command=done.facts)
            if how == "leaks":
                asyncio.ensure_future(asyncio.sleep(3600))
                threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
                return AgentFacts(command=CommandFacts(exit=0))


    WARM = False
"""
TOML = """\
[agent]
timeout_sec = 1.0
[verifier]
timeout_sec = 60.0
[environment]
cpus = 1
memory_mb = 64
network_mode = "no-network"
"""
LOOK = "#!/bin/sh\nif grep -q tool /app/out; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n"
HOWS = ("raises", "exits", "nonsense", "misreports", "pretends", "blocks", "ignores", "hangs", "leaks", "prepare")
SWEEP = """\
name: agents
seed: 3
tasks: {{source: tasks}}
models: [{models}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: 1
probes: {{enabled: false}}
sandbox: {{kind: local}}
runner: {{concurrency: 20, executor: {executor}}}
"""


@pytest.fixture
def agents(tmp_path):
    """Environment of a process that finds the package."""
    entries = {"raysweep.agents": {"good": "outside:Good", "bad": "outside:Bad"}}
    return install(tmp_path / "site", "raysweep-outside", {"outside.py": MODULE}, entries)


def sweep(folder: Path, executor: str, extra: str = "") -> Path:
    make_task(folder / "tasks", toml=TOML, files={"tests/test.sh": LOOK, "environment/setup.sh": "#!/bin/sh\n"})
    bad = [f"{{name: {how}, agent: bad, options: {{how: {how}}}}}" for how in HOWS]
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(models=", ".join(["{name: good, agent: good}", *bad]) + extra, executor=executor))
    return path


@pytest.mark.parametrize("executor", ["inprocess", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_sweep_with_a_bad_agent_ends_complete_with_every_error_told(needs_local, agents, tmp_path, executor):
    done = raysweep_process("run", sweep(tmp_path, executor), "--run-dir", tmp_path / "run", **agents)
    assert done.returncode == 0, done.stderr
    rows = {row["model"]: row for row in read_ledger(tmp_path / "run").table.to_pylist() if row["band"] == "1x"}
    assert all(row["attempt"] == 1 for row in rows.values())
    assert (rows["good"]["outcome"], rows["good"]["reward"], rows["good"]["tokens_in"]) == ("scored", 1.0, 7)
    told = {
        "raises": "ConnectionError: no route",
        "exits": "SystemExit: 3",
        "nonsense": "TypeError: the agent returned dict, not AgentFacts",
        "misreports": "TypeError: AgentFacts.tokens_in is str, not Integral",
        "pretends": "SandboxError: node_lost: give me another try",
        "prepare": "RuntimeError: no tool",
    }
    for how, words in told.items():
        assert (rows[how]["outcome"], rows[how]["cause_class"]) == ("agent_error", None), how
        assert words in rows[how]["detail"], rows[how]["detail"]
        trace = tmp_path / "run" / "traces" / rows[how]["attempt_id"] / "agent-error.txt"
        assert words.split(":")[0] in trace.read_text()
        assert how in ("nonsense", "misreports") or "outside.py" in trace.read_text()
    assert rows["prepare"]["phase"] == "setup"
    for how in ("blocks", "ignores", "hangs"):
        assert (rows[how]["outcome"], rows[how]["reward"], rows[how]["timed_out"]) == ("scored", 0.0, True), how
    assert rows["leaks"]["outcome"] == "scored"
    assert (tmp_path / "run" / "traces" / rows["good"]["attempt_id"] / "agent-chat.json").read_bytes() == b"[]"


def test_check_names_a_plug_in_that_cannot_be_used(agents, tmp_path):
    path = sweep(tmp_path, "inprocess", ", {name: x, agent: bda}")
    done = raysweep_process("check", path, "--json", **agents)
    assert done.returncode == 2
    assert "models.x" in done.stderr
    assert "did you mean 'bad'" in done.stderr
    modules = {"broken.py": "raise RuntimeError('not today')"}
    broken = install(tmp_path / "other", "raysweep-broken", modules, {"raysweep.agents": {"broken": "broken:A"}})
    path = sweep(tmp_path, "inprocess", ", {name: x, agent: broken}")
    both = {"PYTHONPATH": f"{agents['PYTHONPATH']}:{broken['PYTHONPATH']}"}
    done = raysweep_process("check", path, **both)
    assert done.returncode == 2, done.stderr
    assert "package raysweep-broken cannot be imported (RuntimeError: not today)" in done.stderr
    assert "Traceback" not in done.stderr
