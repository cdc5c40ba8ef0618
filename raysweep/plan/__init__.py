"""The plan: arms, blocks and their seeded randomised order over occasions; what it costs.

Belongs here: pure functions from a sweep and its tasks to a Plan. Does not: real dates (schedule.calendar resolves
them), clocks, or running anything.
"""

from raysweep.plan.design import make_plan
from raysweep.plan.model import Arm, Block, Plan, PlannedTrial
from raysweep.plan.runnable import check_runnable

__all__ = ["Arm", "Block", "Plan", "PlannedTrial", "check_runnable", "make_plan"]
