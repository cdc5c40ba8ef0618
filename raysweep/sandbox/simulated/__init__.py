"""The simulated sandbox: a stated truth instead of processes, through the same protocol as the real ones.

Its outcomes depend on the sweep's seed and the trial only (platform faults also on the attempt), never on time or
load, so that the whole chain from plan to interval can be checked against what is known to be true (`truth`). What
depends on time are fault processes (`faults`): they end or delay attempts, and leave the outcomes of trials alone.
"""

from raysweep.sandbox.simulated.faults import Faults
from raysweep.sandbox.simulated.provider import SimulatedProvider
from raysweep.sandbox.simulated.truth import Truth

__all__ = ["Faults", "SimulatedProvider", "Truth"]
