"""What the command line imports at the start: users wait for it at every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
HEAVY = ("ray", "scipy", "pyarrow.dataset", "kubernetes", "pandas", "aiodocker")
PROGRAM = """
import json, sys
from raysweep.cli.main import main
code = None
try:
    main()
except SystemExit as end:
    code = end.code
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["check", str(CONFIGS / "quickstart.yaml")],
        ["check", str(CONFIGS / "simulated.yaml")],
        ["check", str(CONFIGS / "docker-quickstart.yaml")],
        ["check", str(CONFIGS / "kubernetes-quickstart.yaml")],
    ],
    ids=["help", "version", "check", "check-simulated", "check-docker", "check-kubernetes"],
)
def test_help_and_check_start_without_the_heavy_libraries(arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    told = json.loads(done.stderr.splitlines()[-1])
    assert not told["code"], done.stderr
    assert [name for name in HEAVY if name in told["modules"]] == []
    assert done.stdout
