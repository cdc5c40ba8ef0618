"""Verifiers: Harbor's contract for tests/test.sh, from an agent's sandbox to a reward or the reason why there is none.

Belongs here: running the tests and reading rewards. Does not: judging what a missing reward means (trial.classify).
"""

from raysweep.verifier.reward import parse_reward
from raysweep.verifier.run import read_output, verify

__all__ = ["parse_reward", "read_output", "verify"]
