"""Sweeps to start from: a commented one made for a sandbox kind and tasks, and the configs that are shipped."""

from __future__ import annotations

import json
from pathlib import Path

import raysweep
from raysweep.config.fault import nearest
from raysweep.errors import bad_input
from raysweep.kind import kind_names

BUNDLED = "bundled:headroom"
SYNTHETIC = "synthetic:10"

_TEMPLATE = """\
# A sweep of raysweep. Check it:      raysweep check {file}
#                     Its cost:      raysweep plan {file}
#                     Try one trial: raysweep try {file} --task TASK --band 1x --model {model}
#                     Run it:        raysweep run {file} --run-dir runs/{name}
#                     Its report:    raysweep report runs/{name}
# `raysweep init DIR --from NAME` copies a shipped sweep: quickstart, time-of-day, factors, simulated and others.
name: {name}
seed: 1 # everything random follows from it

# A folder of Harbor tasks (relative to this file), git+https://...@<sha>#subdirectory=..., bundled:headroom, or
# synthetic:N (made-up tasks, for `kind: simulated` only).
{tasks}

# What solves the tasks. Agents: scripted (a strategy that comes with the task), oracle (the task's own solution), nop,
# or a plug-in of the entry-point group raysweep.agents.
models:
{models}

# Multipliers of the cpu and memory that each task declares: `request` is guaranteed, `limit` is the hard bound.
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: 3x, request: 1.0, limit: 3.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x # the band that all contrasts are against

repeats: 4 # trials per task and arm; with `buckets` per bucket, over all dates

# Times of day. Without `buckets` the sweep runs at once and says nothing about the time of day.
# buckets:
#   timezone: UTC
#   windows: {{night: "00:00-06:00", day: "06:00-18:00"}}
#   dates: 2 # `repeats` is a multiple of it

{sandbox}

runner: {runner} # most trials in flight

# budget: {{usd: 100}} # a sweep at its bound stops cleanly with exit 3

# Registered before the first trial: the estimand that decides, the largest difference that counts as none, the level.
analysis: {{primary: success, delta: 2pp, confidence: 0.95}}
"""

_SANDBOXES = {
    "local": "# Sandboxes on this machine: bubblewrap and a cgroup; `raysweep doctor` says what is missing.\n"
    "sandbox: {kind: local}",
    "docker": "# Containers of a Docker Engine; `raysweep doctor --config FILE` checks it.\n"
    "sandbox:\n  kind: docker\n"
    "  image: docker.io/library/python:3.12-slim-bookworm # of tasks that need no image of their own",
    "kubernetes": "# A pod per trial. Before: `kubectl apply -k cluster/sandboxes`, `raysweep doctor --config FILE`.\n"
    "sandbox:\n  kind: kubernetes\n"
    "  image: docker.io/library/python:3.12-slim-bookworm # of tasks that need no image of their own\n"
    "  # node_selector: {pool: sandboxes}",
    "simulated": "# No sandbox: outcomes are drawn from this stated truth, in fractions; `*` is all other bands.\n"
    "sandbox:\n  kind: simulated\n  truth:\n"
    '    success: {1x: 0.50, 3x: 0.53, "*": 0.56}\n'
    '    infra: {1x: 0.06, 3x: 0.02, "*": 0.005}',
}


def starter(name: str, kind: str, tasks: str | None = None, agent: str = "oracle") -> str:
    """The text of a commented sweep.

    Args:
        name: of the sweep.
        kind: of the sandbox.
        tasks: where the tasks come from; None for the bundled ones, or for made-up ones where nothing is run.
        agent: what solves tasks that are not the bundled ones.

    Raises:
        InputError: there is no such kind.

    """
    if kind not in kind_names():
        raise bad_input("is not a kind of sandbox", nearest(kind, kind_names()), key="--sandbox", value=kind)
    source = tasks or (SYNTHETIC if kind == "simulated" else BUNDLED)
    bundled = source == BUNDLED and kind != "simulated"
    quoted = json.dumps(source, ensure_ascii=False)
    defaults = "" if bundled else ", defaults: {cpus: 1, memory: 2Gi}"
    models = (
        "  - {name: lean, agent: scripted, strategy: lean}\n  - {name: heavy, agent: scripted, strategy: heavy}"
        if bundled
        else f"  - {{name: {agent}, agent: {agent}}}"
    )
    return _TEMPLATE.format(
        file="sweep.yaml",
        name=name,
        model="lean" if bundled else agent,
        tasks=f"tasks: {{source: {quoted}{defaults}}}",
        models=models,
        sandbox=_SANDBOXES.get(kind, f"sandbox: {{kind: {kind}}}"),
        runner="{concurrency: 2, executor: inprocess}" if kind == "simulated" else "{concurrency: 2}",
    )


def shipped() -> dict[str, Path]:
    """The configs that come with raysweep, by name: in the wheel, or in the repository."""
    package = Path(raysweep.__file__).parent
    folder = next((f for f in (package / "configs", package.parent / "configs") if f.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}
