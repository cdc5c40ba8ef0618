"""The reducer: from a ledger's tables to Findings with intervals, checks and sentences.

Belongs here: estimands, the cube, draws, intervals, variance, power, checks, sentences; numpy and Arrow in, frozen
dataclasses out. Does not: reading files, drawing pictures, anything of Ray, Kubernetes, config or plan.
"""

from raysweep.stats.analyse import Analysis, Member, analyse
from raysweep.stats.design import Design
from raysweep.stats.finding import Caution, Check, Finding
from raysweep.stats.methods.power import Detectable, detectable_effect

__all__ = ["Analysis", "Caution", "Check", "Design", "Detectable", "Finding", "Member", "analyse", "detectable_effect"]
