"""p-values of several tests, adjusted together."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down adjusted p-values in the order given (Holm 1979, Scand J Stat 6:65).

    They hold the familywise error under any dependence. None (a test that could not be made) stays None and does not
    count. ValueError for a p outside 0..1.
    """
    tests = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    if any(not 0 <= p <= 1 for p, _ in tests):
        raise ValueError("p-values lie between 0 and 1")
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, i) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[i] = largest
    return tuple(adjusted)
