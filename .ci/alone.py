"""Runs again, one after another, the few tests that failed while several pytest runs shared this machine.

    alone.py EXIT:CACHE_DIR...

Each argument is one finished run: its exit code and its cache directory (`-o cache_dir=`), which lists what failed.
A test that fails again is a failure. A test that passes alone is named: it depends on what else the machine does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LIMIT = 5  # more failures than this are no accident of a busy machine
TESTS_FAILED = 1  # pytest's exit code where all tests ran and some failed


def failed_tests(cache: Path) -> list[str]:
    """The tests that failed in the run with this cache directory."""
    listed = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(listed.read_text())) if listed.exists() else []


def run_alone(tests: list[str], cache: Path) -> set[str]:
    """Those of the tests that do not pass when nothing else runs."""
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *tests]
    code = subprocess.run(command, check=False).returncode
    again = set(failed_tests(cache))
    if code == 0 and not again:
        return set()
    return again if code == TESTS_FAILED and again else set(tests)


def judge(runs: list[tuple[int, Path]]) -> tuple[int, str]:
    """The exit code of all runs together, after another try of the few tests that failed, and what to say of it."""
    if not any(code for code, _ in runs):
        return 0, "no test failed"
    broken = [code for code, _ in runs if code not in (0, TESTS_FAILED)]
    if broken:
        return broken[0], f"a run ended with exit code {broken[0]}: nothing is run again"
    failed = {cache: failed_tests(cache) if code else [] for code, cache in runs}
    names = [name for tests in failed.values() for name in tests]
    if not names or len(names) > LIMIT or any("::" not in name for name in names):
        return TESTS_FAILED, f"{len(names)} tests failed: none is run again (at most {LIMIT} are)"
    again = {name for cache, tests in failed.items() if tests for name in run_alone(tests, cache)}
    lines = [f"failed beside other tests, passed alone: {name}" for name in names if name not in again]
    lines += [f"failed beside other tests, failed alone: {name}" for name in sorted(again)]
    return (TESTS_FAILED if again else 0), "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Judge the runs that the command line names."""
    pairs = [argument.partition(":") for argument in arguments]
    code, words = judge([(int(exit_code), Path(cache)) for exit_code, _, cache in pairs])
    print("\n".join(f"==> {line}" for line in words.splitlines()), flush=True)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
