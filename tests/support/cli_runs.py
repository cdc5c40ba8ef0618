"""The real command line in processes of its own, and small sweeps for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 120.0

SIMULATED = """\
name: simulated
seed: 5
tasks: {{source: "synthetic:{tasks}", defaults: {{cpus: 1, memory: 2Gi}}}}
models: [{{name: m, agent: oracle}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 2
sandbox: {{kind: simulated, truth: {{infra: {{1x: 0.3, uncapped: 0}}, duration: {duration}, platform: {platform}}}}}
runner: {{concurrency: 2, executor: {executor}}}
"""


def simulated(folder: Path, *, extra="", tasks=4, executor="inprocess", duration='["1s", "9s"]', platform="{}") -> Path:
    """A simulated sweep's file; in-process it runs on virtual time."""
    path = folder / "sweep.yaml"
    text = SIMULATED.format(tasks=tasks, executor=executor, duration=duration, platform=platform)
    path.write_text(text + extra)
    return path


def raysweep(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command to its end, both streams captured."""
    return subprocess.run(
        [RAYSWEEP, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **environment},
    )


def status_of(run: Path) -> dict:
    done = raysweep("status", run, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
