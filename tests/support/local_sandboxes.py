"""Providers of local sandboxes for tests, and what their sandboxes leave on this machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from raysweep.errors import UnsuitableError
from raysweep.sandbox.local.names import run_name
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.testing.conformance_bench import RUN_ID

SCRATCH = Path(os.environ.get("RAYSWEEP_SCRATCH", f"/var/tmp/raysweep-tests-{os.getuid()}"))
MUST_RUN = "CI" in os.environ or "RAYSWEEP_REQUIRE" in os.environ


def make_provider(scratch: Path, **options: object) -> LocalProvider:
    """A provider on its own scratch folder; skips, visibly and never in CI, where nothing can be enforced."""
    provider = LocalProvider(scratch=scratch, **options)
    try:
        provider.host()
    except UnsuitableError as error:
        if MUST_RUN:
            raise
        pytest.skip(f"no local sandboxes here: {error}")
    return provider


def traces_of(provider: LocalProvider) -> set[str]:
    """Cgroups, folders, mounts, loop devices and processes that belong to sandboxes of this provider."""
    host = provider.host()
    found = {str(path) for folder in host.parent.folders for path in folder.glob(f"{run_name(RUN_ID)}/**/")}
    scratch = str(host.scratch / run_name(RUN_ID))
    found |= {str(path) for path in Path(scratch).glob("*")}
    found |= {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if scratch in line}
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # another's device that goes meanwhile
            if scratch in path.read_text():
                found.add(str(path))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if scratch.encode() in line and path.parent.name != str(os.getpid()):
            found.add(f"process {path.parent.name}")
    return found
