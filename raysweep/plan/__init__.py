"""The plan: arms, blocks and their seeded randomised order over occasions; what it costs.

Belongs here: pure functions from a sweep and its tasks to a Plan. Does not: real dates (schedule.calendar resolves
them), clocks, or running anything.
"""
