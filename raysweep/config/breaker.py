"""The circuit breaker: at which rate of platform errors a sweep pauses itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raysweep.config.base import Number, Part, Whole

LEAST_WINDOW = 50
"""Fewer attempts are no rate: at an error in five, 11 of 20 come by chance once in 1,800 windows, 26 of 50 never."""
SLOTS = 2
"""Windows of so many times the concurrency: whatever was in flight may be lost at once without passing a half."""


class Breaker(Part):
    """When so many of the last attempts ended in a platform cause, nothing more is launched and the sweep stops.

    A half of two times what runs at once: the loss of a node, or of everything in flight, is not enough by itself, and
    an error in five for hours is not either. What trips it is trouble that goes on, where attempts only use up their
    retries: at a half, one trial in eight would use up two of them.
    """

    rate: Annotated[Number, Field(gt=0, lt=1)] = Field(
        0.5, description="share of the last attempts that must be exceeded", examples=[0.5]
    )
    window: Annotated[Whole, Field(ge=1)] | None = Field(
        None,
        description=f"how many attempts count, and must have ended at least; left out: {SLOTS} times "
        f"`runner.concurrency`, at least {LEAST_WINDOW}",
        examples=[100],
    )

    def attempts(self, concurrency: int) -> int:
        """The window in attempts, at this concurrency."""
        return self.window or max(LEAST_WINDOW, SLOTS * concurrency)
