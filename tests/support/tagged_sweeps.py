"""A sweep whose image is a tag in a registry of the test's own, run by the real command line."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pyarrow.parquet as pq

from raysweep.record.reader import read_ledger
from raysweep.sandbox.docker.payload import supervisor_archive
from support.fake_registry import FakeRegistry

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
PATIENCE_S = 240.0
SWEEP = """\
name: pins
seed: 3
tasks: {{source: tasks}}
models: [{{name: m, agent: nop}}]
bands: [{{name: 1x, request: 1.0, limit: 1.0}}, {{name: uncapped, request: 1.0, limit: none}}]
reference: 1x
repeats: 2
platform_retries: {{image: 0}}
probes: {{enabled: false}}
sandbox: {{{sandbox}, image: '{image}', pull: {pull}, images: {images}}}
runner: {{concurrency: 1, executor: inprocess}}
"""
FILES = {
    "task.toml": "[agent]\ntimeout_sec = 60\n[environment]\ncpus = 1\nmemory_mb = 64\n",
    "instruction.md": "Do nothing.\n",
    "tests/test.sh": "#!/bin/sh\ntrue\n",
}


class Tagged:
    """A tag in a registry, whose image holds the supervisor and a shell that does nothing, and a sweep on it.

    sandbox: kind and options, as YAML.
    """

    def __init__(self, folder: Path, registry: FakeRegistry, sandbox: str, architecture: str = "amd64") -> None:
        self.folder, self.registry, self.sandbox, self.architecture = folder, registry, sandbox, architecture
        self.repository = f"{registry.host}/tests/{uuid.uuid4().hex[:12]}"
        self.name = f"{self.repository}:1"
        for path, text in FILES.items():
            place = folder / "tasks" / "idle" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def move(self, version: str) -> str:
        """Let the tag mean another image; its digest."""
        config = {"architecture": self.architecture, "os": "linux", "config": {"Labels": {"version": version}}}
        path = self.repository.partition("/")[2]
        return self.registry.push(path, "1", config, _layer(self.architecture))

    def run(self, *words: str, pull: str = "missing", images: str = "resolve") -> subprocess.CompletedProcess[str]:
        config = self.folder / "sweep.yaml"
        config.write_text(SWEEP.format(sandbox=self.sandbox, image=self.name, pull=pull, images=images))
        command = [RAYSWEEP, "run", str(config), "--run-dir", str(self.folder / "run"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def attempts(self) -> list[dict]:
        """What each attempt ran, and what became of it."""
        rows = read_ledger(self.folder / "run").table.to_pylist()
        return [{**dict(row["node"] or ()), "cause": row["cause"], "detail": row["detail"]} for row in rows]

    def planned(self) -> set[tuple[str | None, str | None]]:
        rows = pq.read_table(self.folder / "run" / "plan.parquet", columns=["image", "image_digest"]).to_pylist()
        return {(row["image"], row["image_digest"]) for row in rows}


def _layer(architecture: str) -> bytes:
    buffer = io.BytesIO(supervisor_archive(architecture))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(tarfile.TarInfo("bin/sh"))
    return buffer.getvalue()
