"""The cluster section: what `raysweep cluster` makes of a sweep on Kubernetes. Where it runs, never what it measures.

So a run directory does not know this section, and a study goes on under another image or other machines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from raysweep.config.base import Bytes, Millicores, Part, Seconds, Text, Whole
from raysweep.config.container import Image, LabelKey, LabelValue, Namespace, ObjectName, Toleration, word
from raysweep.config.fault import Fault, refuse
from raysweep.kind import SandboxKind
from raysweep.units import GIB

_RUN_DIR = re.compile(r"(s3|gs)://[^/\s]+/\S+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _bucket(value: str) -> str:
    if not _RUN_DIR.fullmatch(value):
        raise refuse("is not a run directory in a bucket", "write it like gs://BUCKET/PREFIX or s3://BUCKET/PREFIX")
    return value.rstrip("/")


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise refuse("is not the name of an environment variable", "write it like AWS_ENDPOINT_URL")
    return value


class Pool(Part):
    """The nodes that pods of one role run on. Those of the sandboxes: `sandbox.node_selector`, `tolerations`."""

    node_selector: dict[LabelKey, LabelValue] = Field(
        {}, description="labels of the nodes; on-demand ones: what a spot node loses is measured twice",
        examples=[{"raysweep.dev/pool": "control"}],
    )  # fmt: skip
    tolerations: tuple[Toleration, ...] = Field(
        (),
        description="taints that the pods tolerate",
        examples=[[{"key": "raysweep.dev/pool", "operator": "Exists", "effect": "NoSchedule"}]],
    )


class Pools(Part):
    """Where head and runners run."""

    head: Pool = Field(Pool(), description="nodes of head, driver and the pods that submit")
    runners: Pool = Field(Pool(), description="nodes of the runners")


class Machine(Part):
    """What one pod of a role gets. Memory is request and limit; cpu is the request, and what Ray would count."""

    cpu: Millicores = Field(1000, description="cpus of the pod", examples=[1])
    memory: Bytes = Field(4 * GIB, description="memory of the pod, /dev/shm included", examples=["4Gi"])
    shm: Bytes = Field(GIB // 2, description="size of /dev/shm, where Ray's object store lies", examples=["512Mi"])


class Cluster(Part):
    """How `raysweep cluster` runs this sweep on Kubernetes. It may be changed between two drivers of one run.

    One pod for each runner actor (`runner.actors`), with as many `trial_slots` as the actor needs. What the pods
    may do is in cluster/base, which whoever owns the cluster applies once.
    """

    image: Image = Field(
        description="image of head, runners and submitters, made by cluster/image/build; by digest for a study",
        examples=["registry.example/raysweep:0.1.0"],
    )
    run_dir: Annotated[Text, AfterValidator(_bucket)] = Field(
        description="the run directory: the ledger that every driver goes on with", examples=["gs://studies/headroom-1"]
    )
    operator: Annotated[Literal["kuberay", "none"], word("kuberay", "none")] = Field(
        "kuberay",
        description="kuberay: RayJobs, runners in pods of their own; none: Jobs, driver and runners in one pod",
        examples=["none"],
    )
    namespace: Namespace = Field("raysweep", description="namespace of head, runners and submitters")
    pull: Annotated[Literal["missing", "never", "always"], word("missing", "never", "always")] = Field(
        "missing", description="when `image` is pulled", examples=["never"]
    )
    pull_secrets: tuple[ObjectName, ...] = Field(
        (), description="Secrets of the namespace for a private registry", examples=[["registry"]]
    )
    head: Machine = Field(Machine(), description="the pod of head and driver")
    runners: Machine = Field(Machine(), description="the pod of each runner; with `operator: none` the only pod")
    pools: Pools = Field(Pools(), description="nodes of both")
    keys: tuple[ObjectName, ...] = Field(
        (),
        description="Secrets whose entries runners see as environment variables (keys of model APIs); no sandbox does",
        examples=[["model-keys"]],
    )
    bucket_secrets: tuple[ObjectName, ...] = Field(
        (),
        description="the same for all pods of the study: credentials of the bucket, where accounts have none",
        examples=[["bucket"]],
    )
    env: dict[Annotated[str, AfterValidator(_variable)], Annotated[str, Field(strict=True)]] = Field(
        {}, description="further environment of head and runners", examples=[{"AWS_REGION": "us-east-1"}]
    )
    retries: Annotated[Whole, Field(ge=0, le=10)] = Field(
        2, description="new starts after a driver that was lost; each goes on with the ledger", examples=[2]
    )
    deadline: Annotated[Seconds, Field(ge=60)] | None = Field(
        None,
        description="longest time of a `submit`; KubeRay counts anew at a new start; left out: none",
        examples=["24h"],
    )
    ttl: Annotated[Seconds, Field(ge=0)] = Field(
        3600.0,
        description="how long a finished job's pods stay to be looked at; a RayJob's that failed are ended at once",
        examples=["1h"],
    )


def cluster_faults(
    operator: object, kind: SandboxKind | None, context: object, executor: object, source: object
) -> Iterator[Fault]:
    """Settings that cannot work inside cluster pods."""
    if kind is not None and not kind.in_pods:
        yield Fault(
            ("sandbox", "kind"),
            "cannot run inside the pods of `cluster`",
            "use `kind: kubernetes`, or take `cluster` away",
        )
    if context is not None:
        yield Fault(
            ("sandbox", "context"),
            "names a kubeconfig that pods do not have",
            "leave it out: pods use their own account",
        )
    if operator == "kuberay" and executor == "inprocess":
        yield Fault(
            ("runner", "executor"),
            "has no runners for `cluster.operator: kuberay`",
            "use `executor: ray` or `operator: none`",
        )
    if isinstance(source, str) and ":" not in source and not source.startswith("/"):
        yield Fault(
            ("tasks", "source"),
            "is a folder beside this file, which pods do not have",
            "name a git source, bundled:NAME, or an absolute path inside `cluster.image`",
        )
