"""The sweep: every section of the YAML file as one immutable value. `raysweep.config.load` makes it from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    Strict,
    ValidationInfo,
    model_validator,
)

from raysweep.config.analysis import Analysis
from raysweep.config.apis import ModelApi
from raysweep.config.bands import Band
from raysweep.config.base import DEFAULT_CONCURRENCY, Bytes, Millicores, Name, Number, Part, Text, Whole
from raysweep.config.breaker import Breaker
from raysweep.config.buckets import Buckets, Window
from raysweep.config.cluster import Cluster
from raysweep.config.factors import Factors
from raysweep.config.fault import raise_faults
from raysweep.config.rules import broken_rules
from raysweep.config.sandbox import AnySandbox
from raysweep.units import Resources
from raysweep.vocabulary import PLATFORM_CAUSES

ALWAYS = "all"
"""Name of the one bucket of a sweep without `buckets`."""
DEFAULT_CAP = 2
MAX_PER_ACTOR = 64
"""Attempts in flight per runner actor; far below the 1,000 at which Ray's calls begin to queue silently."""
DEFAULT_RERUNS = 2

KEYS_ONLY: dict[str, Any] = {}
"""Context of a validation that leaves the rules between keys to its caller."""


class Defaults(Part):
    """What a task counts as declaring where its own task.toml is silent."""

    cpus: Millicores | None = Field(None, description="cpus of a task that declares none", examples=[1])
    memory: Bytes | None = Field(None, description="memory of a task that declares none", examples=["2Gi"])
    storage: Bytes | None = Field(None, description="storage of a task that declares none", examples=["10Gi"])

    @property
    def resources(self) -> Resources:
        """The same as one triple (millicores, bytes)."""
        return Resources(self.cpus, self.memory, self.storage)


class TaskSource(Part):
    """Where the tasks come from and which of them are in the sweep."""

    source: Text = Field(
        description="`bundled:NAME`, a folder of Harbor tasks (relative to this file), "
        "`git+https://...@<sha>#subdirectory=...`, or `synthetic:N` (made-up tasks, simulated sandbox only)",
        examples=["bundled:headroom"],
    )
    include: tuple[Text, ...] = Field(("*",), description="globs of task names to take", examples=[["*"]])
    exclude: tuple[Text, ...] = Field((), description="globs of task names to leave out", examples=[["slow-*"]])
    defaults: Defaults = Field(
        Defaults(),
        description="spec of tasks that declare none; without it such tasks are refused by name",
        examples=[{"cpus": 1, "memory": "2Gi"}],
    )


class Model(Part):
    """One model under one agent; every further key is an option of that agent, kept as it is."""

    name: Name = Field(description="name of the model in plan and report, unique", examples=["lean"])
    agent: Name = Field(
        description="kind of agent: oracle, nop, scripted, mini-swe, or a plug-in", examples=["scripted"]
    )
    api: Name | None = Field(
        None, description="for agents that call a model: name of the API in `apis`", examples=["anthropic"]
    )
    options: dict[str, Any] = Field({}, description="every further key of the entry", examples=[{"strategy": "lean"}])

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("options", {}), Mapping):
            return value
        own = {"name", "agent", "api", "options"}
        options = {**{k: v for k, v in value.items() if k not in own}, **value.get("options", {})}
        return {**{k: v for k, v in value.items() if k in own}, "options": options}


class Runner(Part):
    """How many trials run at once, and what runs them."""

    concurrency: Annotated[Whole, Field(ge=1)] = Field(
        DEFAULT_CONCURRENCY, description="most trials in flight", examples=[2]
    )
    executor: Literal["ray", "inprocess"] = Field(
        "ray", description="ray: actors; inprocess: this process (virtual time for simulated)", examples=["ray"]
    )
    actors: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="number of runner actors; left out: chosen from the concurrency", examples=[4]
    )

    @property
    def layout(self) -> tuple[int, int]:
        """Runner actors, and trial slots of each."""
        return actor_layout(self.concurrency, self.actors)


def actor_layout(concurrency: int, actors: int | None = None) -> tuple[int, int]:
    """How many runner actors hold `concurrency` slots, by default two or more, and how many slots each has."""
    count = min(concurrency, actors or max(2, -(-concurrency // MAX_PER_ACTOR)))
    return count, -(-concurrency // count)


class Probes(Part):
    """Enforcement probes: control sandboxes that put every band's limits to the test around the trials.

    They run before the first block of each occasion and after its last one; in windows shorter than ten rounds of
    probes only before, in windows shorter than two rounds not at all. A round takes about `cpu_s` + 3 s for each
    `concurrency` bands. The simulated kind has no limits to probe.
    """

    enabled: Annotated[bool, Strict()] = Field(True, description="whether limits are probed", examples=[False])
    cpu_s: Annotated[Number, Field(ge=1, le=60)] = Field(
        3.0, description="seconds for which a probe burns cpu to measure the cpu limit", examples=[3]
    )


class Budget(Part):
    """Where to stop, and the prices by which the plan counts. A bound left out is no bound."""

    usd: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="most money for the whole sweep (machines by the prices below, plus model calls)",
        examples=[200],
    )
    agent_hours: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="most hours of agent phases, summed over trials", examples=[400]
    )
    trial_usd: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="most money for the model calls of one trial: a call that could go beyond is refused before it is "
        "made; with `usd` a sweep stops before its trials in flight could go beyond that",
        examples=[0.5],
    )
    usd_per_cpu_hour: Annotated[Number, Field(ge=0)] = Field(
        0.0316,
        description="price of one requested cpu for an hour; the default is of the order of a general-purpose "
        "cloud machine on demand: state your own",
    )
    usd_per_gib_hour: Annotated[Number, Field(ge=0)] = Field(
        0.0042, description="price of one requested GiB of memory for an hour; as above"
    )


def _default_caps() -> dict[str, int]:
    return {cause.value: DEFAULT_CAP for cause in PLATFORM_CAUSES}


def _caps(value: object) -> object:
    """The given caps over the default for every platform cause."""
    return {**_default_caps(), **value} if isinstance(value, dict) else value


class Sweep(Part):
    """A whole sweep. Make it with `raysweep.config.load` (file) or `parse` (text), which name all problems at once."""

    name: Name = Field(description="name of the sweep", examples=["headroom-time-of-day"])
    seed: Annotated[Whole, Field(ge=0)] = Field(0, description="the one seed of everything random", examples=[20260205])
    tasks: TaskSource = Field(description="which tasks", examples=[{"source": "bundled:headroom"}])
    models: Annotated[tuple[Model, ...], Field(min_length=1)] = Field(
        description="which models and agents", examples=[[{"name": "lean", "agent": "scripted", "strategy": "lean"}]]
    )
    apis: dict[Name, ModelApi] = Field(
        {},
        description="model APIs that agents of `models` call, by name",
        examples=[{"local": {"protocol": "openai", "base_url": "http://127.0.0.1:8000"}}],
    )
    bands: Annotated[tuple[Band, ...], Field(min_length=1)] = Field(
        description="which resource bands", examples=[[{"name": "1x", "request": 1.0, "limit": 1.0}]]
    )
    reference: Name = Field(description="name of the band that contrasts are against", examples=["1x"])
    factors: Factors = Field(
        Factors(),
        description="infrastructure factors besides the band, each with named levels; left out: none",
        examples=[{"agent_timeout": {"reference": "1x", "levels": {"1x": 1, "2x": 2}}}],
    )
    repeats: Annotated[Whole, Field(ge=1)] = Field(
        description="trials per task, arm and bucket, over all dates; a multiple of `dates`", examples=[6]
    )
    buckets: Buckets | None = Field(
        None,
        description="time-of-day windows; left out: one bucket `all`, always open",
        examples=[{"windows": {"night": "00:00-06:00", "day": "06:00-18:00"}, "dates": 3}],
    )
    sandbox: AnySandbox = Field(description="what a trial runs in", examples=[{"kind": "local"}])
    runner: Runner = Field(Runner(), description="concurrency and executor", examples=[{"concurrency": 2}])
    probes: Probes = Field(
        Probes(),
        description="whether and how long limits are put to the test",
        examples=[{"enabled": True, "cpu_s": 3}],
    )
    budget: Budget = Field(Budget(), description="bounds and prices; a sweep at its bound stops cleanly with exit 3")
    platform_retries: Annotated[dict[str, Annotated[Whole, Field(ge=0)]], BeforeValidator(_caps)] = Field(
        default_factory=_default_caps,
        description=f"cap of further attempts of a trial per platform cause, in one run of its block; {DEFAULT_CAP} "
        "where not said",
        examples=[{"node_lost": 3, "image": 2, "api_server": 3}],
    )
    block_reruns: Annotated[Whole, Field(ge=0)] = Field(
        DEFAULT_RERUNS,
        description="cap of further runs of a whole block that could not be completed in its occasion, each in the "
        "next window of its bucket; without `buckets` each in the next `raysweep run`",
        examples=[2],
    )
    breaker: Breaker | None = Field(
        Breaker(),
        description="pauses the sweep (exit 3, the same command resumes) when too many attempts end in a platform "
        "cause; `null`: never",
        examples=[{"rate": 0.5, "window": 100}],
    )
    analysis: Analysis = Field(
        Analysis(), description="registered: its hash is kept before the first trial", examples=[{"primary": "success"}]
    )
    cluster: Cluster | None = Field(
        None,
        description="how `raysweep cluster` runs the sweep; no part of what is measured",
        examples=[{"image": "registry.example/raysweep:0.1.0", "run_dir": "gs://studies/headroom-1"}],
    )

    _source_text: str = PrivateAttr(default="")
    _study_text: str = PrivateAttr(default="")
    _source_path: Path | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _rules(cls, data: Any, validate: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        sweep = validate(data)
        if isinstance(data, Mapping) and info.context is not KEYS_ONLY:
            raise_faults("Sweep", broken_rules(data))
        return sweep

    @property
    def dates(self) -> int:
        """Planned dates (or cycles)."""
        return self.buckets.dates if self.buckets else 1

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows by start; empty without buckets."""
        return self.buckets.windows if self.buckets else ()

    @property
    def bucket_names(self) -> tuple[str, ...]:
        """Buckets in the order in which they open; `all` without buckets."""
        return tuple(w.name for w in self.windows) or (ALWAYS,)

    @property
    def registered(self) -> bool:
        """Whether the file states its analysis section (else the defaults hold, and nothing is confirmatory)."""
        return "analysis" in self.model_fields_set

    @property
    def source_text(self) -> str:
        """The file as given."""
        return self._source_text

    @property
    def study_text(self) -> str:
        """The file without its `cluster` section: what a run directory keeps, and a resumed run must give again."""
        return self._study_text

    @property
    def source_path(self) -> Path | None:
        """Where the file lay; relative task sources are relative to its folder."""
        return self._source_path

    def model(self, name: str) -> Model:
        """The model of that name; KeyError."""
        return {m.name: m for m in self.models}[name]

    def band(self, name: str) -> Band:
        """The band of that name; KeyError."""
        return {b.name: b for b in self.bands}[name]
