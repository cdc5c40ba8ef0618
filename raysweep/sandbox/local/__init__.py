"""Local sandboxes: bubblewrap around overlays of the host's system folders, bounded and measured by cgroups.

Belongs here: making, running, measuring and removing them, and the doctor's checks of this machine. Not here: cgroup
files (raysweep.sandbox.cgroup), tasks, agents, and the judgement of counters.
"""
