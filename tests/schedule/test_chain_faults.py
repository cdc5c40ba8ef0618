"""Simulated faults through the whole of `raysweep run`: what they change, what they leave, what a resume meets."""

import hashlib
import json

import pytest

from raysweep.cli.run import run_command
from raysweep.errors import ExitCode
from raysweep.record.reader import open_run, read_attempts
from raysweep.sandbox.simulated.faults import events

DAY = 86400.0
HOUR = 3600.0
BEGIN = 1_772_409_600.0  # 2026-03-02, 00:00 UTC
SEED = 11
SWEEP = """
name: chain
seed: {seed}
tasks: {{source: "synthetic:8", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 4
buckets: {{windows: {{night: "00:00-06:00", day: "06:00-12:00"}}, dates: 2, start: 2026-03-02, timezone: {zone}}}
sandbox:
  kind: simulated
  truth:
    {{success: 0.5, infra: {{1x: 0.2, uncapped: 0.0}}, amplitude: 0.1, date_sd: 0.05, occasion_sd: 0.05,
    duration: ["5m", "10m"], {faults}}}
runner: {{concurrency: 5, executor: inprocess}}
platform_retries: {{node_lost: 90, api_server: 90, scheduling: 90}}
breaker: null
"""
LOSSES = "nodes: 3, node_loss: {every: 30m, share: 0.7, lasts: 10m}"
OUTAGES = "api_outage: {every: 2h, lasts: 20m, patience: 5m}"
FAULTS = f"{LOSSES}, {OUTAGES}"


@pytest.fixture
def run(tmp_path):
    """`raysweep run` in a folder of its own: (exit code, attempts by trial and attempt)."""

    def one(name, faults="", *, blocks=None, zone="UTC"):
        config = tmp_path / f"{name}.yaml"
        config.write_text(SWEEP.format(seed=SEED, faults=faults, zone=zone))
        code = run_command(config, tmp_path / name, blocks, as_json=False)
        rows = read_attempts(open_run(tmp_path / name)).to_pylist()
        return code, sorted(rows, key=lambda r: (r["trial_id"], r["attempt"]))

    return one


def finals(rows):
    """What became of each trial, whatever its attempts met on the way."""
    return {r["trial_id"]: (r["outcome"], r["cause"], r["reward"]) for r in rows if r["cause_class"] != "platform"}


def told(rows):
    return [
        [r["trial_id"], r["attempt"], r["outcome"], r["cause"], r["reward"], str(r["t_queued"]), str(r["t_stopped"])]
        for r in rows
    ]


def losses(rows):
    return {r["t_stopped"].timestamp() for r in rows if r["cause"] == "node_lost"}


def bursts():
    return list(events(SEED, "node-loss", HOUR / 2, BEGIN, BEGIN + 5 * DAY))


def test_a_first_date_begins_the_sweep_and_rows_without_faults_stay_what_they_were(run):
    code, rows = run("calm", "platform: {node_lost: 0.1, image: 0.05}")
    assert (code, rows[0]["occasion"][:7]) == (ExitCode.OK, "2026-03")
    assert min(r["t_queued"].timestamp() for r in rows) == BEGIN
    digest = hashlib.sha256(json.dumps(told(rows)).encode()).hexdigest()[:16]
    assert (len(rows), digest) == (153, "e246288db69b6615")  # made before there were faults


def test_a_first_date_is_one_of_the_zone_of_the_buckets(run):
    _, rows = run("zone", zone="Asia/Tokyo")
    assert min(r["t_queued"].timestamp() for r in rows) == BEGIN - 9 * HOUR


def test_faults_change_attempts_and_leave_every_trial_its_outcome(run):
    calm, stormy, again = run("calm")[1], run("stormy", FAULTS)[1], run("again", FAULTS)[1]
    assert {"node_lost", "api_server"} <= {r["cause"] for r in stormy if r["cause_class"] == "platform"}
    assert len(stormy) > len(calm) == len(finals(calm)) == 128
    assert finals(stormy) == finals(calm)
    assert told(again) == told(stormy)


def test_nodes_are_lost_at_the_times_of_the_process_and_several_trials_with_them(run):
    _, rows = run("losses", LOSSES)
    lost = [r["t_stopped"].timestamp() for r in rows if r["cause"] == "node_lost"]
    each = [sum(abs(t - burst) < 1e-3 for t in lost) for burst in bursts()]
    assert sum(each) == len(lost)
    assert max(each) > 1


def test_a_resumed_sweep_meets_the_same_faults(run):
    whole = run("whole", FAULTS)[1]
    code, some = run("parts", FAULTS, blocks=10)
    assert (code, len(finals(some))) == (ExitCode.OK, 20)
    code, rows = run("parts", FAULTS)
    assert code == ExitCode.OK
    assert finals(rows) == finals(whole)
    assert all(min(abs(t - burst) for burst in bursts()) < 1e-3 for t in losses(rows))
    assert losses(rows) - losses(some)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_long_losses_wait_for_nodes_and_nothing_is_lost(run, share):
    faults = f"nodes: 2, node_loss: {{every: 1h, share: {share}, lasts: 50m}}"
    code, rows = run("long", faults)
    while code == ExitCode.INCOMPLETE:  # retries or windows were used up; the next driver has both again
        code, rows = run("long", faults)
    assert (code, len(finals(rows))) == (ExitCode.OK, 128)
    assert "scheduling" in {r["cause"] for r in rows} or share < 1
