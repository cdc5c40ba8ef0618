"""What several test folders share: the embedded Ray, a machine that can enforce, and no skips where CI forbids them."""

from __future__ import annotations

import gc
import os
import uuid
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from raysweep.errors import UnsuitableError
from raysweep.sandbox.local.disk import remove_tree

# How long an example takes says how busy the machine is, with $CI (where this is hypothesis's own default) or without.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def sandbox_required() -> bool:
    """Whether a machine that cannot enforce is a failure instead of a reason to skip."""
    return any(os.environ.get(name) for name in ("CI", "RAYSWEEP_REQUIRE", "RAYSWEEP_REQUIRE_SANDBOX"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Spread the tests over the workers of `-n` as support.spread says."""
    from support.spread import scheduler

    return scheduler(config, log)


def pytest_collection_modifyitems(config, items):
    """Forgive Ray what it leaves open, and nobody else; begin with the longest on the workers of `-n`."""
    for item in items:
        if item.get_closest_marker("ray") or "embedded_ray" in item.fixturenames:
            for category in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}"))
            item.fixturenames.insert(0, "own_garbage")
    if hasattr(config, "workerinput"):
        from support.spread import long_first

        long_first(items)


@pytest.fixture
def own_garbage():
    """Collects what a test of Ray left before the next test begins, which would be blamed for it."""
    yield
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def garbage_of_this_file():
    """Collects what the tests of a file left while they are the ones to blame."""
    yield
    gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure where CI forbids skips (an expected failure is no skip)."""
    report = yield
    forbidden = os.environ.get("RAYSWEEP_FORBID_SKIPS")
    if report.skipped and forbidden and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which RAYSWEEP_FORBID_SKIPS forbids: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def scratch_folder():
    """A folder on a real disk for the sandboxes of this session, removed at its end."""
    base = Path(os.environ.get("RAYSWEEP_SCRATCH", "/var/tmp"))
    folder = base / f"raysweep-test-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(mode=0o700, parents=True)
    yield folder
    remove_tree(folder)


@pytest.fixture(scope="session")
def needs_local(scratch_folder):
    """A scratch folder on a machine where local sandboxes enforce their bounds; else skip, or fail where required."""
    from raysweep.sandbox.local.provider import LocalProvider

    try:
        failed = [c for c in LocalProvider(scratch=scratch_folder).doctor() if c.required and not c.ok]
    except UnsuitableError as error:
        reason = str(error)
    else:
        reason = "; ".join(f"{c.name}: {c.found}" for c in failed)
    if reason and sandbox_required():
        pytest.fail(f"local sandboxes are required here: {reason}")
    if reason:
        pytest.skip(f"no local sandboxes here: {reason}")
    return scratch_folder


@pytest.fixture(scope="session")
def embedded_ray():
    """One Ray on this machine for the whole session, with slots enough for every pool of a test."""
    from raysweep.schedule.ray_embedded import init_ray

    init_ray(trial_slots=64)
    import ray

    yield ray
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # whichever test is the last would be blamed for Ray's
        ray.shutdown()
        gc.collect()
