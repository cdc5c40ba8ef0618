"""Metrics and JSON logs of the real command: what a scrape in the middle says, and that every attempt is a line."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from raysweep.record.reader import read_ledger

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 120
SWEEP = """\
name: told
seed: 5
tasks: {source: "synthetic:3"}
models: [{name: m, agent: nop}]
bands: [{name: 1x, request: 1.0, limit: 1.0}, {name: uncapped, request: 1.0, limit: none}]
reference: 1x
repeats: 4
buckets: {period: 40s, windows: {early: "0s-2s", late: "30s-32s"}, dates: 2, makeup_dates: 0}
sandbox: {kind: simulated, truth: {duration: [0.01s, 0.02s], platform: {node_lost: 0.2}}}
platform_retries: {node_lost: 20}
runner: {concurrency: 2, executor: inprocess}
"""


def test_attempts_are_lines_of_json_with_their_ids(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    command = [RAYSWEEP, "run", "sweep.yaml", "--run-dir", "run", "--logs", "json", "--metrics-port", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    told = [event for event in events if event["event"] == "attempt"]
    rows = read_ledger(tmp_path / "run").table.to_pylist()
    assert [event["attempt_id"] for event in told] == [row["attempt_id"] for row in rows]
    run_id = json.loads((tmp_path / "run" / "run.json").read_text())["run_id"]
    assert {(event["run_id"], event["level"]) for event in told if "cause" not in event} == {(run_id, "info")}
    assert {event["level"] for event in told if event.get("cause") == "node_lost"} == {"warning"}
    assert any(event["event"] == "message" and event["text"].startswith("metrics: http") for event in events)


def test_a_scrape_while_it_runs(tmp_path):
    slow = SWEEP.replace("[0.01s, 0.02s]", "[1s, 1.1s]").replace("executor: inprocess", "executor: ray, actors: 1")
    cycles = 'buckets: {period: 40s, windows: {early: "0s-2s", late: "30s-32s"}, dates: 2, makeup_dates: 0}\n'
    (tmp_path / "sweep.yaml").write_text(slow.replace(cycles, ""))
    command = [RAYSWEEP, "run", "sweep.yaml", "--run-dir", "run", "--metrics-port", "0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=log, stdout=log)
        try:
            until = time.monotonic() + PATIENCE_S
            said = {}
            while not said.get('raysweep_attempts_total{band="1x",cause="",class="",model="m",outcome="scored"}'):
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                assert process.poll() is None, (tmp_path / "log").read_text()
                said = _scrape((tmp_path / "log").read_text())
                time.sleep(0.1)
            assert said["raysweep_trials_planned"] == 24
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _scrape(log: str) -> dict[str, float]:
    urls = [line.removeprefix("metrics: ") for line in log.splitlines() if line.startswith("metrics: ")]
    if not urls:
        return {}
    text = urllib.request.urlopen(urls[0].replace("0.0.0.0", "127.0.0.1"), timeout=30).read().decode()
    return {k: float(v) for k, v in (x.rsplit(" ", 1) for x in text.splitlines() if not x.startswith("#"))}
