"""How much of an agentic-coding score is infrastructure: raysweep measures it.

Two wings that meet only at the run directory: execution (config, tasks, plan, sandbox, agent, verifier, trial,
schedule) fills a ledger; analysis (stats, report) reads it. This package's own modules (errors, units, ids, seeds,
clock) are the base that everything may import and that imports nothing of ours. Nothing heavy is imported here.
"""

__version__ = "0.1.0"
