"""Fault processes of a simulated sweep, below `sandbox.truth`: how often, how much, how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from raysweep.config.base import Number, Part, Rate, Seconds
from raysweep.config.fault import Fault, raise_faults, refuse

HOURS = 24

Positive = Annotated[Seconds, Field(gt=0)]


class _Recurring(Part):
    """Something that comes every now and then and lasts."""

    every: Positive = Field(description="mean time between two of them (exponential)", examples=["12h"])
    lasts: Positive = Field(description="how long each lasts; at most `every`", examples=["20m"])

    @model_validator(mode="after")
    def _rules(self) -> _Recurring:
        raise_faults(type(self).__name__, self._faults())
        return self

    def _faults(self) -> Iterator[Fault]:
        if self.lasts > self.every:
            yield Fault(("lasts",), "is longer than `every`: there would be little else", "shorten it")


class NodeLoss(_Recurring):
    """Nodes lost in bursts: what runs on them ends as `node_lost`, and nothing starts there until they are back."""

    share: Rate = Field(0.5, description="chance of each node to be taken by a burst", examples=[0.5])


class ApiOutage(_Recurring):
    """Times without an API server: attempts neither start nor hand over results, and wait for it.

    After `patience` they end as `api_server`; a shorter wait only delays them.
    """

    patience: Positive = Field(300.0, description="how long an attempt waits", examples=["5m"])


def _by_hour(value: object) -> object:
    """24 factors, or none."""
    if isinstance(value, (list, tuple)) and len(value) not in (0, HOURS):
        raise refuse(f"has {len(value)} factors", f"write {HOURS} of them, one for each hour of the day from 0 on")
    return value


Latency = Annotated[tuple[Annotated[Number, Field(gt=0)], ...], BeforeValidator(_by_hour)]
