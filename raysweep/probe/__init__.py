"""Enforcement probes: control sandboxes that put the limits of every band to the test around the trials.

Belongs here: which probes a round has (`plan`, pure), how one is run over the sandbox protocol (`run`), its row.
Does not: when rounds are due (schedule), where rows are stored (record.probes), what they mean (stats).
"""

from raysweep.probe.plan import ProbeOrder, plan_probes, round_seconds
from raysweep.probe.run import lost_probe, run_probe

__all__ = ["ProbeOrder", "lost_probe", "plan_probes", "round_seconds", "run_probe"]
