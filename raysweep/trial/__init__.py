"""One trial: `attempt` runs it and collects evidence, `classify` (pure) says what it counts as.

Belongs here: the order of phases, the decision table, the row. Does not: when or how often a trial runs (schedule).
"""
