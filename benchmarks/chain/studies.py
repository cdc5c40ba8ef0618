"""The two time-of-day studies, amplitude 2 points and 0: through the chain, and the same trials drawn directly.

Direct simulation asks the stated truth for the outcome of every planned trial and puts it into a cube; no queue, driver
or ledger is between. Without faults both cubes hold the same numbers. With faults some blocks ran on another date.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.chain import sweeps
from raysweep.plan import make_plan
from raysweep.stats import Finding
from raysweep.stats.cube import ArmKey, Cube, build_cube, with_labels
from raysweep.stats.findings.timeofday import time_of_day
from raysweep.study import compose, load
from raysweep.study.sources import design_of

TASKS, DATES = 89, 14
LEVEL = 0.95
STUDY = """
name: chain-time-of-day
seed: {seed}
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: 3x, request: 1.0, limit: 3.0}}
reference: 1x
repeats: {dates}
buckets:
  windows: {{night: "00:00-06:00", morning: "06:00-12:00", noon: "12:00-18:00", evening: "18:00-24:00"}}
  dates: {dates}
  start: 2026-03-02
sandbox:
  kind: simulated
  truth:
    success: 0.84
    infra: {{1x: 0.01, 3x: 0.002}}
    task_sd: 0.06
    date_sd: 0.02
    occasion_sd: 0.01
    amplitude: {amplitude}
    peak: 0.6
    duration: [4m, 10m]
    nodes: 4{faults}
runner: {{concurrency: 12, executor: inprocess}}
platform_retries: {{node_lost: 4, api_server: 4, image: 2, scheduling: 4}}
"""
"""Two trials per task and occasion over both arms; mean p (1 - p) = 0.13, about that of the guide."""


FAULTS = """
    node_loss: {every: 12h, share: 0.5, lasts: 20m}
    api_outage: {every: 1d, lasts: 40m, patience: 10m}
    platform: {image: 0.01}"""


@dataclass(frozen=True)
class Said:
    """What a study says: whether an effect of the hour is claimed, and its estimate with limits, points."""

    claimed: bool
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Finding) -> Said:
        """The same of a finding."""
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        return cls(found.low > 0, found.value, found.low, found.high)

    def __str__(self) -> str:
        return f"{'claimed' if self.claimed else 'no claim'} {self.value:4.2f} ({self.low:4.2f} to {self.high:4.2f})"


def text(seed: int, amplitude: float, *, faults: bool, tasks: int = TASKS, dates: int = DATES) -> str:
    """The YAML of one study; amplitude in points."""
    given = FAULTS if faults else ""
    return STUDY.format(seed=seed, amplitude=amplitude / 100, faults=given, tasks=tasks, dates=dates)


def _said(cube: Cube, seed: int) -> Said:
    return Said.of(next(f for f in time_of_day(cube, LEVEL, None, seed) if f.estimand == "time_of_day"))


@dataclass(frozen=True)
class Ran:
    """What a study that was really run went through. again: rows of further block runs."""

    said: Said
    attempts: int
    again: int
    drivers: int


def through_the_chain(given: str) -> Ran:
    """Run a study as the command line does, as often as it takes, and read its verdict from the ledger."""
    with tempfile.TemporaryDirectory() as folder:
        view, drivers = sweeps.run(given, Path(folder))
    design = design_of(view)
    table, planned = with_labels(view.table), with_labels(view.planned)
    again = int(np.sum(np.asarray(table["block_run"]) > 1))
    return Ran(_said(build_cube(table, planned, design), design.seed), len(table), again, drivers)


def direct(given: str) -> Said:
    """Verdict of the same trials without queue, driver and ledger."""
    sweep, truth = sweeps.stated(given)
    plan = make_plan(sweep, load.load_tasks(sweep))
    calendar = compose.calendar(sweep, 0.0)
    tasks = tuple(sorted({b.task for b in plan.blocks}))
    dates = tuple(calendar.occasion(sweep.bucket_names[0], d).label for d in range(1, sweep.dates + 1))
    arms = tuple(ArmKey(m.name, b.name) for m in sweep.models for b in sweep.bands)
    y = np.zeros((len(plan.blocks), len(arms)))
    q = np.zeros_like(y)
    for row, block in enumerate(plan.blocks):
        for t in block.trials:
            labels = {"task": block.task, "model": t.arm.model, "band": t.arm.band, "bucket": block.bucket}
            outcome = truth.outcome_of({**labels, "occasion": dates[block.date - 1], "trial": t.trial_id})
            column = arms.index(ArmKey(t.arm.model, t.arm.band))
            y[row, column], q[row, column] = outcome == "solves", outcome == "dies"
    cube = Cube(
        arms=arms,
        tasks=tasks,
        buckets=sweep.bucket_names,
        dates=dates,
        y=y,
        q=q,
        present=np.ones(y.shape, dtype=bool),
        first_platform=np.zeros(y.shape, dtype=bool),
        task=np.array([tasks.index(b.task) for b in plan.blocks]),
        bucket=np.array([sweep.bucket_names.index(b.bucket) for b in plan.blocks]),
        date=np.array([b.date - 1 for b in plan.blocks]),
        blocks=tuple(b.block_id for b in plan.blocks),
        not_started=0,
    )
    return _said(cube, sweep.seed)


def compare(first: int, count: int, amplitudes: Sequence[float] = (2.0, 0.0)) -> None:
    """Print both verdicts of `count` studies of each amplitude."""
    print(f"{TASKS} tasks x 4 buckets x {DATES} dates x 2 arms, date sd 2, occasion sd 1 points; with faults")
    for amplitude in amplitudes:
        same = claimed = 0
        for seed in range(first, first + count):
            began = time.process_time()
            given = text(seed, amplitude, faults=True)
            ran, drawn = through_the_chain(given), direct(given)
            same += ran.said.claimed == drawn.claimed
            claimed += ran.said.claimed
            print(
                f"   amplitude {amplitude:g} seed {seed}: chain {ran.said} | direct {drawn} | {ran.attempts} attempts,"
                f" {ran.again} of further block runs, {ran.drivers} drivers, {time.process_time() - began:.0f} s",
                flush=True,
            )
        print(f"   amplitude {amplitude:g}: {same} of {count} verdicts are the same; {claimed} claim an effect")
