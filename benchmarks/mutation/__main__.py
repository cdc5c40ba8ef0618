"""Changes modules that decide in one place at a time and runs the tests that cover them; lists what none noticed.

A sample of the mutants of each target, drawn by the seed, is tried in a copy of the checkout, so that the work tree
stays as it is. A mutant that hangs its tests (five times their usual time and a minute) counts as noticed.

    python -m benchmarks.mutation [--sample 12] [--seed 1] [--only NAME...] > benchmarks/results/mutation.txt
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
COPIED = (
    "raysweep",
    "tests",
    "benchmarks",
    "configs",
    "docs",
    "cluster",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
)
NOTHING_RAN = 5
"""pytest's exit code where it collected no test."""


@dataclass(frozen=True)
class Target:
    """Files whose mutants are tried, and the tests that are to notice (patterns below the checkout)."""

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = (
    Target(
        "classify", ("raysweep/trial/classify.py",),
        ("tests/trial/test_classify*.py", "tests/trial/test_needs_verifier.py"),
    ),
    Target(
        "queue", ("raysweep/schedule/queue.py",),
        ("tests/schedule/test_queue*.py",),
    ),
    Target(
        "resume", ("raysweep/record/resume.py",),
        ("tests/record/test_resume*.py", "tests/schedule/test_queue_reruns.py"),
    ),
    Target("lock", ("raysweep/record/lock.py",), ("tests/record/test_lock*.py", "tests/record/test_ledger.py")),
    Target(
        "reader", ("raysweep/record/reader.py",),
        ("tests/record/test_ledger.py", "tests/record/test_versions.py", "tests/record/test_compact.py",
         "tests/record/test_old_ledgers.py", "tests/dataset/test_ending.py"),
    ),
    Target(
        "methods", ("raysweep/stats/methods/*.py",),
        ("tests/stats/test_methods_*.py", "tests/stats/test_calibration_methods.py"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A mutant of a file and whether a test noticed it."""

    file: str
    mutant: Mutant
    noticed: bool


class Copy:
    """A copy of the checkout in which one file at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / name)  # type: ignore[operator]

    def passes(self, tests: list[str], limit_s: float) -> bool:
        """Whether these tests pass here, within the limit."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        options = (
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-m",
            "not (cluster or docker or ray or e2e)",
        )
        command = [sys.executable, "-m", "pytest", *options, *tests]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        assert done.returncode != NOTHING_RAN, tests
        return done.returncode == 0

    def noticed(self, file: str, mutant: Mutant, tests: list[str], limit_s: float) -> bool:
        """Whether a test fails with this mutant."""
        path = self.folder / file
        original = path.read_text()
        path.write_text(mutant.text)
        try:
            return not self.passes(tests, limit_s)
        finally:
            path.write_text(original)


def sample(target: Target, size: int, seed: int) -> tuple[list[tuple[str, Mutant]], int]:
    """A sample of the target's mutants in the order of the text, and how many it has."""
    files = sorted(str(p.relative_to(ROOT)) for pattern in target.sources for p in ROOT.glob(pattern))
    every = [(file, mutant) for file in files for mutant in mutants((ROOT / file).read_text())]
    chosen = random.Random(f"{seed} {target.name}").sample(range(len(every)), min(size, len(every)))
    return [every[i] for i in sorted(chosen)], len(every)


def tests_of(target: Target, file: str) -> list[str]:
    """Those of the target's tests that name the module; all of them where none does."""
    tests = sorted(str(p.relative_to(ROOT)) for pattern in target.tests for p in ROOT.glob(pattern))
    module = file.removesuffix(".py").replace("/", ".")
    return [test for test in tests if module in (ROOT / test).read_text()] or tests


def run(target: Target, size: int, seed: int, copy: Copy) -> None:
    """Try a sample of a target's mutants and print what came of it."""
    chosen, total = sample(target, size, seed)
    began = time.monotonic()
    every = sorted({test for file, _ in chosen for test in tests_of(target, file)})
    assert copy.passes(every, 3600.0), f"{target.name}: tests fail without a mutant"
    limit_s = 5 * (time.monotonic() - began) + 60
    trials = [Trial(f, m, copy.noticed(f, m, tests_of(target, f), limit_s)) for f, m in chosen]
    survivors = [t for t in trials if not t.noticed]
    noticed = len(trials) - len(survivors)
    print(f"{target.name}: {noticed} of {len(trials)} noticed (a sample of its {total} mutants)", flush=True)
    for trial in survivors:
        print(f"   {trial.file}:{trial.mutant.line}: {trial.mutant.before}  ->  {trial.mutant.after}", flush=True)


def main() -> None:
    """Run all targets, or those that are named."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--sample", type=int, default=12, help="mutants of each target (default 12)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", nargs="*", choices=[t.name for t in TARGETS], default=[t.name for t in TARGETS])
    given = options.parse_args()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(f"# python {platform.python_version()}; benchmarks.mutation --sample {given.sample} --seed {given.seed}")
    print(f"# the code of commit {commit.stdout.strip() or 'unknown'}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for target in TARGETS:
            if target.name in given.only:
                run(target, given.sample, given.seed, copy)


if __name__ == "__main__":
    main()
