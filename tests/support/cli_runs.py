"""The real command line, in this process or in one of its own, and small sweeps for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from raysweep.cli.main import main

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


def raysweep(*arguments: object, cwd: Path = Path(), **environment: str) -> subprocess.CompletedProcess[str]:
    """One command to its end in this process, both streams captured: neither is a terminal."""
    command = ["raysweep", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    for stream in (out, err):
        stream.seek(0)
    return subprocess.CompletedProcess(command, code if isinstance(code, int) else 0, out.read(), err.read())


def raysweep_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command to its end in a process of its own, for what a process shows only: Ray, credentials, exit."""
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
