"""Small plans for tests of the schedule, made by the real planner."""

from __future__ import annotations

from pathlib import Path

from raysweep import config
from raysweep.plan import Plan, make_plan
from raysweep.tasks.load import load_tasks

SWEEP = """
name: {name}
seed: {seed}
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: {repeats}
{buckets}
sandbox:
  kind: simulated
  truth: {{success: 0.5, infra: {{1x: 0.2, uncapped: 0.0}}, platform: {platform}, duration: ["1s", "9s"]}}
runner: {{concurrency: {slots}, executor: inprocess}}
"""

CYCLES = "buckets: {period: 200s, windows: {first: 0s-100s, second: 100s-200s}, dates: 2}"


def sweep_text(*, name="t", seed=7, tasks=3, repeats=2, buckets="", slots=2, platform="{}") -> str:
    return SWEEP.format(
        name=name, seed=seed, tasks=tasks, repeats=repeats, buckets=buckets, slots=slots, platform=platform
    )


def plan_of(**options) -> Plan:
    sweep = config.parse(sweep_text(**options))
    return make_plan(sweep, load_tasks(sweep.tasks.source, base=Path()))
