"""The stated truth of a simulated sweep, below `sandbox.truth`: rates, spreads and fault processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from raysweep.config.base import Number, Part, Rate, Seconds, Whole
from raysweep.config.fault import Fault, nearest, raise_faults, refuse
from raysweep.vocabulary import PLATFORM_CAUSES

HOURS = 24
REST = "*"

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


def _by_name(value: object) -> object:
    """A scalar is for every name."""
    return value if isinstance(value, dict) else {REST: value}


def cause_faults(causes: Iterable[str]) -> Iterator[Fault]:
    """What is not a platform cause; a resource cause is the arm's own outcome and is never retried."""
    for cause in causes:
        if cause not in PLATFORM_CAUSES:
            yield Fault((cause,), "is not a platform cause", nearest(cause, PLATFORM_CAUSES))


ByName = Annotated[dict[str, Rate], BeforeValidator(_by_name)]


class Truth(Part):
    """The stated truth of a simulated sweep. Rates and spreads are fractions: 0.02 is 2 percentage points.

    Of a trial: with probability q (`infra` of its band) it dies of its own memory limit; its success rate is p
    (`success` of its band) + offsets of model, task, date, occasion and time of day, counted over all trials, so that
    among the trials that live it is p / (1 - q). Date, occasion and time of day are those of the plan.

    `node_loss`, `api_outage` and `latency` depend on the seed and the time alone (virtual time with the executor
    `inprocess`), so a resumed sweep meets the same faults. They change no outcome of a trial, only attempts.
    """

    success: ByName = Field(
        {REST: 0.5},
        description="success rate over all trials (an infra death counts 0); a number, or a map by band, `*`: the rest",
        examples=[{"1x": 0.50, "uncapped": 0.56}],
    )
    infra: ByName = Field(
        {REST: 0.0},
        description="share of trials that die at their own limit; a number, or a map by band, `*`: the rest",
        examples=[{"1x": 0.058, "uncapped": 0.005}],
    )
    models: dict[str, Number] = Field({}, description="offset of success by model", examples=[{"heavy": 0.05}])
    factors: dict[str, dict[str, Number]] = Field(
        {},
        description="offset of success by factor and level; a level that is left out has none",
        examples=[{"agent_timeout": {"2x": 0.05}}],
    )
    task_sd: Rate = Field(0.2, description="standard deviation of success between tasks", examples=[0.2])
    date_sd: Rate = Field(0.0, description="standard deviation between dates", examples=[0.02])
    occasion_sd: Rate = Field(0.0, description="standard deviation between occasions of one date", examples=[0.01])
    amplitude: Rate = Field(0.0, description="cosine amplitude of success over the period", examples=[0.02])
    peak: Rate = Field(0.0, description="where in the period success is highest, as a share of it", examples=[0.25])
    duration: tuple[Seconds, Seconds] = Field(
        (0.5, 1.5), description="shortest and longest trial, uniform in between", examples=[["0.5s", "1.5s"]]
    )
    platform: dict[str, Rate] = Field(
        {}, description="share of attempts that fail by each platform cause", examples=[{"node_lost": 0.01}]
    )
    nodes: Annotated[Whole, Field(ge=1)] = Field(
        1, description="simulated nodes; an attempt runs on one of them, drawn among those that are there", examples=[8]
    )
    node_loss: NodeLoss | None = Field(
        None, description="nodes lost in bursts; left out: none", examples=[{"every": "12h", "lasts": "20m"}]
    )
    api_outage: ApiOutage | None = Field(
        None, description="outages of the API server; left out: none", examples=[{"every": "24h", "lasts": "30m"}]
    )
    latency: Latency = Field(
        (),
        description="what the duration is multiplied by in each hour of the day in the buckets' time zone, 24 factors "
        "from hour 0 on; an attempt has that of the hour in which its agent begins",
    )

    @model_validator(mode="after")
    def _rules(self) -> Truth:
        raise_faults("Truth", self._faults())
        return self

    def _faults(self) -> Iterator[Fault]:
        if not 0 <= self.duration[0] <= self.duration[1]:
            yield Fault(("duration",), "the shortest is longer than the longest", "write [shortest, longest]")
        for band in sorted({*self.success, *self.infra}):
            p, q = self.success.get(band, self.success.get(REST)), self.infra.get(band, self.infra.get(REST))
            if p is not None and q is not None and p + q > 1:
                yield Fault(("success", band), f"success {p:g} and infra {q:g} exceed 1 together", "lower one of them")
        if sum(self.platform.values()) > 1:
            yield Fault(("platform",), "the rates exceed 1 together", "lower them")
