"""Orders: of arms within a block, and of tasks within an occasion. By hashes of names, so without numpy.

A hash order does not depend on the order of keys or entries in the YAML file, and leaving an arm or a task out leaves
the order of the others as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import gcd

from raysweep import seeds


def arm_order(seed: int, block_id: str, key: str) -> tuple[int, str]:
    """By what the arms of one block are sorted, for an order of its own. key: the arm's."""
    return seeds.number(seed, "arm order", block_id, key), key


def shuffled_tasks(seed: int, tasks: Sequence[str]) -> list[str]:
    """The one order of tasks that every occasion rotates."""
    return sorted(tasks, key=lambda task: (seeds.number(seed, "task order", task), task))


def rotation(n_tasks: int, turn: int, bucket: int) -> int:
    """By how many places the task order is turned in one pass over the tasks.

    turn: 0, 1, ... number of the pass within the bucket, over its dates; bucket: 0, 1, ... place of the window.
    Both steps are coprime with the number of tasks. So within a bucket any T passes in a row put a task on T
    different places, and at one turn the buckets (up to T) put it on different places: neither a bucket nor a date
    always finds the same task first.
    """
    return (turn * _step(n_tasks, 0.618) + bucket * _step(n_tasks, 0.414)) % n_tasks


@cache
def _step(n: int, share: float) -> int:
    """The number coprime with n that is nearest to share x n: neighbouring passes lie far apart."""
    return min((k for k in range(1, n + 1) if gcd(k, n) == 1), key=lambda k: (abs(k - share * n), k))
