"""The sandbox section: its kind, the options of that kind, and the stated truth of the simulated kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, model_validator

from raysweep.config.base import Number, Part, Rate, Seconds, Text, Whole
from raysweep.config.container import (
    OWNERS,
    Engine,
    Image,
    LabelKey,
    LabelValue,
    Mirror,
    Namespace,
    ObjectName,
    Toleration,
    word,
)
from raysweep.config.fault import Fault, nearest, raise_faults, refuse
from raysweep.config.simulation import ApiOutage, Latency, NodeLoss
from raysweep.vocabulary import PLATFORM_CAUSES

KINDS = ("local", "simulated", "docker", "kubernetes")
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
    return value


Flag = Annotated[bool, Strict()]
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

    def success_of(self, band: str) -> float:
        """Success rate over all trials of a band."""
        return self.success[band] if band in self.success else self.success[REST]

    def infra_of(self, band: str) -> float:
        """Share of a band's trials that die at their own limit."""
        return self.infra[band] if band in self.infra else self.infra[REST]


class SandboxConfig(Part):
    """Kind and options. Each option says for which kinds it is; with another kind it is refused."""

    kind: Annotated[Literal["local", "simulated", "docker", "kubernetes"], BeforeValidator(_kind)] = Field(
        description="local (bubblewrap and a cgroup on this machine), docker (containers of an engine that speaks the "
        "Engine API), kubernetes (a pod for each trial) or simulated (a stated truth)",
        examples=["local"],
    )
    pids: Annotated[Whole, Field(ge=16)] = Field(
        1024,
        description="most tasks inside one sandbox (kubernetes: the kubelet's `podPidsLimit` decides)",
        examples=[1024],
    )
    rootfs: Text | None = Field(
        None, description="local: folder that holds the sandbox's root file system; left out: the host's /usr and /etc"
    )
    cgroup_parent: Text | None = Field(
        None, description="local: path of a delegated cgroup; left out: found or made as doctor says"
    )
    network: Literal["task", "none"] = Field(
        "task", description="local, docker, kubernetes: `task` gives network to tasks that declare it, `none` to nobody"
    )
    image: Image = Field(
        "docker.io/library/python:3.12-slim-bookworm",
        description="docker, kubernetes: image of tasks that need none of their own",
        examples=["docker.io/library/python:3.12-slim-bookworm"],
    )
    images: Annotated[Literal["resolve", "require", "tags"], word("resolve", "require", "tags")] = Field(
        "resolve",
        description="docker, kubernetes: `resolve`: what a tag means is looked up when the run is made, and every "
        "attempt runs that digest; `require`: the same, and no run is made where a name cannot be resolved; `tags`: "
        "nothing is looked up (nodes that cannot pull)",
        examples=["require"],
    )
    image_mirror: Mirror | None = Field(
        None,
        description="docker, kubernetes: registry and path below which copies of all images lie under their full "
        "names (scripts/mirror-images makes them); left out: images come from where they are named",
        examples=["europe-west4-docker.pkg.dev/my-project/raysweep"],
    )
    capabilities: Annotated[Literal["package-install", "strict"], word("package-install", "strict")] = Field(
        "package-install",
        description="docker, kubernetes: Linux capabilities inside, the same in every arm; `package-install`: what "
        "apt, chown and su need; `strict`: none",
    )
    pull: Annotated[Literal["missing", "never", "always"], word("missing", "never", "always")] = Field(
        "missing", description="docker, kubernetes: when images are pulled", examples=["never"]
    )
    require_isolation: Flag = Field(
        False, description="docker, kubernetes: refuse to run where missing network isolation was measured"
    )
    start_timeout: Annotated[Seconds, Field(gt=0)] = Field(
        600.0,
        description="docker, kubernetes: longest wait for a sandbox, image pull and scheduling included",
        examples=["10m"],
    )
    docker_host: Engine | None = Field(
        None,
        description="docker: address of the engine; left out: $DOCKER_HOST, else the usual sockets",
        examples=["unix:///var/run/docker.sock"],
    )
    docker_runtime: ObjectName | None = Field(
        None, description="docker: runtime of the containers; left out: the engine's own", examples=["runsc"]
    )
    namespace: Namespace = Field(
        "raysweep-sandboxes",
        description="kubernetes: namespace of the pods (`kubectl apply -k cluster/sandboxes`)",
    )
    context: Text | None = Field(
        None, description="kubernetes: context of the kubeconfig; left out: the current one, in a pod its own account"
    )
    qos: Annotated[Literal["uniform", "native"], word("uniform", "native")] = Field(
        "uniform",
        description="kubernetes: `uniform`: every arm is Burstable; `native`: where request and limit are equal the "
        "pod is Guaranteed, and contrasts across classes carry a warning",
    )
    tenancy: Annotated[Literal["shared", "exclusive"], word("shared", "exclusive")] = Field(
        "shared", description="kubernetes: `exclusive`: at most one sandbox on a node, for calibration"
    )
    runtime_class: ObjectName | None = Field(None, description="kubernetes: RuntimeClass", examples=["gvisor"])
    node_selector: dict[LabelKey, LabelValue] = Field(
        {},
        description="kubernetes: labels of the nodes; one machine type per sweep. `kubernetes.io/arch` is `amd64` "
        "where not said",
        examples=[{"pool": "sandboxes"}],
    )
    tolerations: tuple[Toleration, ...] = Field(
        (),
        description="kubernetes: taints that the pods tolerate",
        examples=[[{"key": "pool", "operator": "Equal", "value": "sandboxes", "effect": "NoSchedule"}]],
    )
    pull_secrets: tuple[ObjectName, ...] = Field(
        (), description="kubernetes: names of Secrets in the namespace for private registries", examples=[["registry"]]
    )
    priority_class: ObjectName | None = Field(None, description="kubernetes: PriorityClass", examples=["sandboxes"])
    allow_unreachable_limits: Flag = Field(
        False, description="kubernetes: run even where a finite limit is above what a node has free; it is reported"
    )
    create_rate: Annotated[Number, Field(gt=0)] = Field(
        8.0, description="kubernetes: most pods created a second, over all runners", examples=[8]
    )
    max_pending: Annotated[Whole, Field(ge=1)] = Field(
        50, description="kubernetes: most pods that wait for a node or an image at once", examples=[50]
    )
    truth: Truth = Field(
        Truth(), description="simulated: what is true; see the keys below", examples=[{"success": 0.5}]
    )

    def container_options(self) -> dict[str, Any]:
        """What a provider of a container kind is made of: its own options as plain values; none that is left out.

        `network`, `images` and `image_mirror` are not among them: each trial's order says whether its sandbox has a
        network, and what image it starts from.
        """
        own = {name for name, owners in OWNERS.items() if self.kind in owners} - {"network", "images", "image_mirror"}
        return {key: value for key, value in self.model_dump(include=own).items() if value is not None}
