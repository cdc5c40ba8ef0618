"""Simulated sweeps through the whole chain, from config and plan to ledger and analysis, by the real commands.

Belongs here: sweeps whose truth and faults are stated in their own YAML, and what the report says of them beside that
truth. Does not: methods on data drawn directly (`benchmarks.coverage`), wall times (`benchmarks/scale.py`).
"""
