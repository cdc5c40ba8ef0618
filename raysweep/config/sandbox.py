"""The sandbox section: its kind, the options of that kind, and the stated truth of the simulated kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from raysweep.config.base import Number, Part, Rate, Seconds, Text, Whole
from raysweep.config.fault import Fault, nearest, raise_faults, refuse

KINDS = ("local", "simulated", "docker", "kubernetes")
NOT_YET = ("docker", "kubernetes")
OWN_OPTIONS = {"rootfs": "local", "cgroup_parent": "local", "network": "local", "truth": "simulated"}
PLATFORM_CAUSES = (
    "node_lost", "node_pressure", "preempted", "drained", "image", "api_server", "runner_lost", "scheduling",
    "deadline", "altered", "oom_node",
)  # fmt: skip
"""As in record.evidence (a test holds the two equal); config imports nothing of ours but the base."""
REST = "*"


def _by_name(value: object) -> object:
    """A scalar is for every name."""
    return value if isinstance(value, dict) else {REST: value}


def cause_faults(causes: Iterable[str]) -> Iterator[Fault]:
    """What is not a platform cause; a resource cause is the arm's own outcome and is never retried."""
    for cause in causes:
        if cause not in PLATFORM_CAUSES:
            yield Fault((cause,), "is not a platform cause", nearest(cause, PLATFORM_CAUSES))


def _kind(value: object) -> object:
    if value not in KINDS:
        raise refuse("is not a kind of sandbox", nearest(value, KINDS))
    if value in NOT_YET:
        raise refuse(f"`{value}` sandboxes are not available in this version", "use `local` or `simulated`")
    return value


ByName = Annotated[dict[str, Rate], BeforeValidator(_by_name)]


class Truth(Part):
    """The stated truth of a simulated sweep. Rates and spreads are fractions: 0.02 is 2 percentage points.

    Of a trial: with probability q (`infra` of its band) it dies of its own memory limit; its success rate is p
    (`success` of its band) + offsets of model, task, date, occasion and time of day, counted over all trials, so that
    among the trials that live it is p / (1 - q).
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
        yield from (fault.under("platform") for fault in cause_faults(self.platform))
        if sum(self.platform.values()) > 1:
            yield Fault(("platform",), "the rates exceed 1 together", "lower them")

    def success_of(self, band: str) -> float:
        """Success rate over all trials of a band."""
        return self.success[band] if band in self.success else self.success[REST]

    def infra_of(self, band: str) -> float:
        """Share of a band's trials that die at their own limit."""
        return self.infra[band] if band in self.infra else self.infra[REST]


class SandboxConfig(Part):
    """Kind and options. `rootfs`, `cgroup_parent` and `network` are of local, `truth` is of simulated."""

    kind: Annotated[Literal["local", "simulated", "docker", "kubernetes"], BeforeValidator(_kind)] = Field(
        description="local (bubblewrap and a cgroup on this machine) or simulated (a stated truth); "
        "docker and kubernetes are not available in this version",
        examples=["local"],
    )
    pids: Annotated[Whole, Field(ge=16)] = Field(1024, description="most tasks inside one sandbox", examples=[1024])
    rootfs: Text | None = Field(
        None, description="local: folder that holds the sandbox's root file system; left out: the host's /usr and /etc"
    )
    cgroup_parent: Text | None = Field(
        None, description="local: path of a delegated cgroup; left out: found or made as doctor says"
    )
    network: Literal["task", "none"] = Field(
        "task", description="local: `task` gives network to tasks that declare it, `none` to nobody"
    )
    truth: Truth = Field(
        Truth(), description="simulated: what is true; see the keys below", examples=[{"success": 0.5}]
    )

    @model_validator(mode="before")
    @classmethod
    def _only_the_kind(cls, value: Any) -> Any:
        """For a kind that is not available say that and nothing else: its other keys are not known here yet."""
        if isinstance(value, Mapping) and value.get("kind") in NOT_YET:
            return {"kind": value["kind"]}
        return value

    @model_validator(mode="after")
    def _rules(self) -> SandboxConfig:
        raise_faults("SandboxConfig", foreign_options(self.kind, self.model_fields_set))
        return self


def foreign_options(kind: str, given: set[str]) -> Iterator[Fault]:
    """Options that belong to another kind of sandbox."""
    for option, owner in OWN_OPTIONS.items():
        if option in given and kind != owner:
            yield Fault((option,), f"is an option of the kind `{owner}`, not of `{kind}`", "remove it or change `kind`")
