"""Probes in real local sandboxes: limits that are there, and limits that are not."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest

from raysweep.clock import SystemClock
from raysweep.config.bands import Band
from raysweep.probe import plan_probes, run_probe
from raysweep.record.probes import COLUMNS
from raysweep.record.schema import to_table
from raysweep.sandbox.local.provider import LocalProvider
from raysweep.stats.findings.probes import CPU_OVER, measure
from raysweep.units import Resources

pytestmark = pytest.mark.sandbox
BANDS = (Band(name="1x", limit=1.0), Band(name="2x", limit=2.0), Band(name="uncapped", limit="none"))


class LooseProvider(LocalProvider):
    """Admits what is asked for and holds none of it."""

    def open(self, spec):
        return super().open(replace(spec, limit=Resources()))


async def measured(provider, run_id):
    await provider.prepare(run_id)
    orders = plan_probes(
        BANDS, run_id=run_id, bucket="all", occasion="always", moment="before", number=1, cpu_s=1.5, now=time.time()
    )
    rows = [await run_probe(order, provider, SystemClock()) for order in orders]
    await provider.gc(run_id)
    return measure(to_table(rows, COLUMNS))


async def test_real_limits_are_measured_as_they_are(needs_local):
    found = await measured(LocalProvider(scratch=needs_local), f"run-{uuid.uuid4().hex[:8]}")
    for band in ("1x", "2x"):
        (row,) = found[band].rows
        assert (row["held"], row["killed"], row["own_limit"], row["kill_of"]) == (True, True, True, "process")
        assert row["oom_kills"] == 1
        assert row["kill_s"] > 0
        assert 0 < found[band].shares[0] <= CPU_OVER
    (row,) = found["uncapped"].rows
    assert row["held"]
    assert not any(m.faults() for m in found.values())
    assert found["1x"].memory_confirmed


async def test_limits_that_nothing_holds_are_found_out(needs_local):
    found = await measured(LooseProvider(scratch=needs_local), f"run-{uuid.uuid4().hex[:8]}")
    for band in ("1x", "2x"):
        assert "probe_past_lived" in {c.code for c in found[band].faults()}
        assert not found[band].memory_confirmed
        assert not found[band].cpu_confirmed
