"""Sandboxes: the protocol and one sub-package per kind (local, simulated; docker and kubernetes plug in here).

Belongs here: making an isolated place with an exact band, running commands in it, and reading raw facts from it.
Does not: judging those facts (trial.classify), knowing tasks, agents or verifiers, or importing ray.
"""
