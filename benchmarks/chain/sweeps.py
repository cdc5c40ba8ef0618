"""The sweeps: their YAML, and a run of one by `raysweep run` in this process until it is complete."""

from __future__ import annotations

from pathlib import Path

from raysweep import config
from raysweep.config import Sweep
from raysweep.record.reader import LedgerView, read_ledger
from raysweep.sandbox.simulated import Truth
from raysweep.study import compose
from raysweep.study.load import load_study
from raysweep.study.run import RunOptions, StoppedBefore, run_study

HOURS = "1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.1, 1.2, 1.3, 1.4, 1.4, 1.4, 1.4, 1.3, 1.3, 1.2, 1.2, 1.1, 1.1"
FAULTS = f"""
    nodes: 4
    node_loss: {{every: 6h, share: 0.5, lasts: 20m}}
    api_outage: {{every: 12h, lasts: 40m, patience: 5m}}
    latency: [{HOURS}, 1.0, 1.0, 1.0, 1.0]
    platform: {{image: 0.01}}"""

COVERAGE = """
name: chain-coverage
seed: {seed}
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: twin, request: 1.0, limit: 1.5}}  # the same truth as 1x
  - {{name: 3x, request: 1.0, limit: 3.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: {dates}
buckets:
  windows: {{night: "00:00-01:00", morning: "06:00-07:00", noon: "12:00-13:00", evening: "18:00-19:00"}}
  dates: {dates}
  start: 2026-03-02
sandbox:
  kind: simulated
  truth:
    success: {{1x: 0.45, twin: 0.45, 3x: 0.50, uncapped: 0.51}}
    infra: {{1x: 0.12, twin: 0.12, 3x: 0.05, uncapped: 0.005}}
    task_sd: 0.1
    date_sd: 0.02
    occasion_sd: 0.01
    amplitude: 0.03
    peak: 0.6
    duration: [4m, 10m]{faults}
runner: {{concurrency: 12, executor: inprocess}}
platform_retries: {{node_lost: 4, api_server: 4, image: 2, scheduling: 4}}
analysis: {{primary: success, delta: 2pp, confidence: 0.95}}
"""
"""Faults that a third of the occasions meet, windows so short that an outage sends blocks to another date."""


def run(text: str, folder: Path) -> tuple[LedgerView, int]:
    """Run a sweep to its end; its ledger, and how many drivers it took.

    A driver that ends incomplete (circuit breaker) is followed by the next, until one has nothing left that it may run:
    blocks that used up their further runs stay incomplete.
    """
    file, path = folder / "sweep.yaml", folder / "run"
    file.write_text(text)
    drivers, before = 0, -1
    while True:
        end = run_study(load_study(file), path, RunOptions())
        drivers += 1
        view = read_ledger(path)
        if isinstance(end, StoppedBefore) or end.result.interrupted:
            raise RuntimeError(f"{path}: the run was stopped")
        if (end.result.stopped is None and not end.result.missing) or len(view.table) == before:
            return view, drivers
        before = len(view.table)


def stated(text: str) -> tuple[Sweep, Truth]:
    """The sweep of a YAML text, and the truth that its simulated sandboxes follow."""
    sweep = config.parse(text)
    options = {k: v for k, v in compose.recipe(sweep).options.items() if k != "faults"}
    return sweep, Truth(**options)
