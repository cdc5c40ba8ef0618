"""Which rounds of enforcement probes an occasion has, and which of them are due. Pure.

An occasion has a round before its first block and one after its last. A window shorter than SHORT rounds has the first
one only: what comes after its blocks is seldom more than a moment away from the next occasion's first round. A window
shorter than LEAST rounds has none: it would have no time left for blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

from raysweep.record.probes import BEFORE, Round
from raysweep.schedule.calendar import Occasion

SHORT = 10.0
LEAST = 2.0


class ProbeBook:
    """What was probed so far. round_s: how long a round is expected to take; done: rounds of earlier processes."""

    def __init__(self, round_s: float, done: Iterable[Round] = ()) -> None:
        self.round_s = round_s
        self._done = {r for r in done if r.moment == BEFORE}

    def before_due(self, occasion: Occasion, block_s: float = 0.0) -> bool:
        """Whether no block of this occasion may begin yet. block_s: how long a block usually takes."""
        fits = occasion.closes - occasion.opens >= max(LEAST * self.round_s, self.round_s + block_s)
        return fits and round_of(occasion, BEFORE) not in self._done

    def after_due(self, occasion: Occasion) -> bool:
        """Whether a round follows the last block of this occasion that this process ran, whatever was done before."""
        return occasion.closes - occasion.opens >= SHORT * self.round_s

    def note(self, done: Round) -> None:
        """A round has ended, whatever its result."""
        if done.moment == BEFORE:
            self._done.add(done)


def round_of(occasion: Occasion, moment: str) -> Round:
    """The round of an occasion at a moment."""
    return Round(occasion.bucket, occasion.label, moment)
