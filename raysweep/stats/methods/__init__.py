"""Statistical methods: arrays and plain numbers in, numbers and frozen dataclasses out, each with its source.

Belongs here: draws, intervals, tests, variance components, rhythms, power, sequential rules. Does not: ledgers, cubes,
names of arms and tasks, Findings and sentences (`stats.findings`, `stats.verdict`).
"""
