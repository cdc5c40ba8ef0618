"""Where a package that a command needs is not installed, exit 4 names it with its install command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.errors import ExitCode
from raysweep.packages import missing_package

CONFIGS = Path(__file__).parents[2] / "configs"
RAY = """
name: on-ray
tasks: {source: "synthetic:2"}
models: [{name: m, agent: nop}]
bands: [{name: 1x, limit: 1.0}, {name: 3x, limit: 3.0}]
reference: 1x
repeats: 1
sandbox: {kind: simulated}
"""
PROGRAM = """
import sys

blocked = sys.argv.pop(1)

class Blocks:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocks())
from raysweep.cli.process import run
run()
"""


@pytest.mark.parametrize(
    ("module", "package", "command"),
    [
        ("typer", "typer>=", ["check", "quickstart.yaml"]),
        ("yaml", "pyyaml>=", ["check", "quickstart.yaml"]),
        ("scipy", "scipy>=", ["plan", "simulated.yaml"]),
        ("kubernetes", "kubernetes>=", ["doctor", "--config", "kubernetes-quickstart.yaml"]),
        ("aiodocker", "aiodocker>=", ["doctor", "--config", "docker-quickstart.yaml"]),
        ("obstore", "obstore>=", ["status", "s3://bucket/run"]),
        ("ray", "ray[data]>=", ["run", "ray.yaml"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_package_that_is_missing_is_named_with_its_install_command(module, package, command, tmp_path):
    (tmp_path / "ray.yaml").write_text(RAY)
    arguments = [str(CONFIGS / a) if (CONFIGS / a).is_file() else a for a in command]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, module, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.UNSUITABLE, done.stderr
    assert "Traceback" not in done.stderr
    assert "is not installed" in done.stderr
    assert f"pip install '{package}" in done.stderr.lower()


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'raysweep.nothing'", name="raysweep.nothing"),
        ModuleNotFoundError("No module named 'asyncio.nothing'", name="asyncio.nothing"),
        ModuleNotFoundError("no name"),
        ImportError("cannot import name 'x' from 'ray'", name="ray"),
        ValueError("x"),
    ],
    ids=["own-module", "standard-library", "no-name", "name-of-a-module", "other"],
)
def test_other_errors_are_no_missing_package(error):
    assert missing_package(error) is None


def test_a_package_that_raysweep_does_not_name_is_installed_by_its_module():
    missing = missing_package(ModuleNotFoundError("No module named 'urllib3.util'", name="urllib3.util"))
    assert str(missing).endswith("install it with: pip install 'urllib3'")
