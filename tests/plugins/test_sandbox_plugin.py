"""A kind of sandbox from a package outside the repository: checked, run and put through the conformance suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.record.reader import read_ledger
from support.cli_runs import raysweep_process
from support.packages import install

KIND = '''
    """A kind that delegates to local sandboxes, with an option of its own."""

    from typing import Annotated

    from pydantic import Field, field_validator

    from raysweep.config.sandbox import SandboxConfig
    from raysweep.kind import SandboxKind


    class AsideConfig(SandboxConfig):
        """Local sandboxes by another name."""

        sample: Annotated[float, Field(gt=0, le=5)] = Field(1.0, description="seconds between samples")

        @field_validator("sample")
        @classmethod
        def _whole_tenths(cls, value: float) -> float:
            if value * 10 % 1:
                raise ValueError("must be a multiple of 0.1")
            return value


    KIND = SandboxKind(name="aside", options=AsideConfig, provider="aside.provider:make", here=True)
'''
PROVIDER = """
    from raysweep.sandbox.local.provider import LocalProvider


    class AsideProvider(LocalProvider):
        kind = "aside"


    def make(owner, scratch, clock, options):
        return AsideProvider(scratch=scratch, owner=owner, sample_s=options["sample"])
"""
SUITE = """
    import os
    from pathlib import Path

    import pytest

    from aside.provider import make
    from raysweep.testing.conformance import SandboxConformance


    class TestAside(SandboxConformance):
        @pytest.fixture
        def provider(self):
            return make("suite", Path(os.environ["RAYSWEEP_SCRATCH"]), None, {"sample": 1.0})
"""
MODULES = {
    "aside/__init__.py": "",
    "aside/kind.py": KIND,
    "aside/provider.py": PROVIDER,
    "aside/test_conformance.py": SUITE,
}
GROUP = "raysweep.sandboxes"
SWEEP = """\
name: aside
seed: 3
tasks: {{source: bundled:headroom, include: [sort-lines]}}
models: [{{name: m, agent: scripted, options: {{strategy: lean}}}}]
bands:
  - {{name: 1x, request: 1.0, limit: 1.0}}
  - {{name: uncapped, request: 1.0, limit: none}}
reference: 1x
repeats: 1
probes: {{enabled: false}}
sandbox: {sandbox}
runner: {{concurrency: 1, executor: inprocess}}
"""


@pytest.fixture
def aside(tmp_path):
    """Environment of a process that finds the package with the kind `aside`."""
    return install(tmp_path / "site", "raysweep-aside", MODULES, {GROUP: {"aside": "aside.kind:KIND"}})


def sweep(folder: Path, sandbox: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(sandbox=sandbox))
    return path


def problem(folder: Path, sandbox: str, environment: dict[str, str]) -> str:
    """What `check` says of a sweep that it refuses, on one line."""
    done = raysweep_process("check", sweep(folder, sandbox), **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_its_options_are_checked_as_those_of_a_built_in_kind(aside, tmp_path):
    done = raysweep_process("check", sweep(tmp_path, "{kind: aside, sample: 0.5}"), **aside)
    assert done.returncode == 0, done.stderr
    for sandbox, words in {
        "{kind: aside, sample: 9}": ("sandbox.sample", "must be at most 5", "9"),
        "{kind: aside, sample: 0.25}": ("sandbox.sample", "must be a multiple of 0.1", "0.25"),
        "{kind: aside, sampel: 1}": ("sandbox.sampel", "unknown key", "did you mean `sample`"),
        "{kind: aside, rootfs: /}": ("sandbox.rootfs", "is an option of the kind `local`, not of `aside`"),
        "{kind: local, sample: 1}": ("sandbox.sample", "is an option of the kind `aside`, not of `local`"),
        "{kind: asied}": ("sandbox.kind", "is not a kind of sandbox", "did you mean `aside`"),
    }.items():
        said = problem(tmp_path, sandbox, aside)
        assert all(word in said for word in words), said


def test_without_the_package_there_is_no_such_kind(tmp_path):
    said = problem(tmp_path, "{kind: aside, sample: 0.5}", {})
    assert "sandbox.kind" in said
    assert "use one of: local, simulated, docker, kubernetes" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import there_is_no_such_module",
            "raysweep-aside cannot be imported (ModuleNotFoundError: No module named",
        ),
        ("raise RuntimeError('not today')", "raysweep-aside cannot be imported (RuntimeError: not today)"),
        ("KIND = 3", "raysweep-aside: aside:KIND is not the SandboxKind `aside`"),
        (
            "import pydantic, raysweep.kind as k; KIND = k.SandboxKind('aside', pydantic.BaseModel, 'aside:none')",
            "are no `raysweep.config.sandbox.SandboxConfig`",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_named_with_a_remedy_and_harms_no_other_kind(tmp_path, text, words):
    environment = install(tmp_path / "site", "raysweep-aside", {"aside.py": text}, {GROUP: {"aside": "aside:KIND"}})
    said = problem(tmp_path, "{kind: aside}", environment)
    assert words in said
    assert all(word in said for word in ("sandbox.kind", "aside", "install a version of"))
    assert raysweep_process("check", sweep(tmp_path, "{kind: local}"), **environment).returncode == 0


def test_a_provider_whose_module_is_missing_makes_the_machine_unsuitable(tmp_path):
    modules = {"aside/__init__.py": "", "aside/kind.py": KIND, "aside/provider.py": "import there_is_no_such_module"}
    environment = install(tmp_path / "site", "raysweep-aside", modules, {GROUP: {"aside": "aside.kind:KIND"}})
    done = raysweep_process("doctor", "--config", sweep(tmp_path, "{kind: aside}"), **environment)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "there_is_no_such_module" in done.stderr
    assert "pip install" in done.stderr


@pytest.mark.sandbox
def test_a_sweep_runs_in_it(aside, tmp_path, needs_local):
    environment = {**aside, "RAYSWEEP_SCRATCH": str(needs_local)}
    done = raysweep_process("run", sweep(tmp_path, "{kind: aside}"), "--run-dir", tmp_path / "run", **environment)
    assert done.returncode == 0, done.stderr
    rows = read_ledger(tmp_path / "run").table.to_pylist()
    assert [(row["outcome"], row["reward"]) for row in rows] == [("scored", 1.0)] * 2
    assert json.loads((tmp_path / "run/run.json").read_text())["sandbox"] == "aside"


@pytest.mark.sandbox
def test_the_conformance_suite_runs_from_its_package(aside, tmp_path, needs_local):
    environment = {**os.environ, **aside, "RAYSWEEP_SCRATCH": str(needs_local)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir"]
    done = subprocess.run(
        [*command, str(tmp_path / "site"), str(tmp_path / "site/aside/test_conformance.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "passed" in done.stdout
