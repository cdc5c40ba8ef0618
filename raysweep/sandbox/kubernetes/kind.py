"""The kubernetes kind of sandbox: its options, and what it needs and can."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raysweep.config.base import Number, Text, Whole
from raysweep.config.container import (
    ContainerConfig,
    Flag,
    LabelKey,
    LabelValue,
    Namespace,
    ObjectName,
    Toleration,
    word,
)
from raysweep.kind import SandboxKind


class KubernetesConfig(ContainerConfig):
    """A pod for each trial."""

    namespace: Namespace = Field(
        "raysweep-sandboxes",
        description="namespace of the pods (`kubectl apply -k cluster/sandboxes`)",
    )
    context: Text | None = Field(
        None, description="context of the kubeconfig; left out: the current one, in a pod its own account"
    )
    qos: Annotated[Literal["uniform", "native"], word("uniform", "native")] = Field(
        "uniform",
        description="`uniform`: every arm is Burstable; `native`: where request and limit are equal the "
        "pod is Guaranteed, and contrasts across classes carry a warning",
    )
    tenancy: Annotated[Literal["shared", "exclusive"], word("shared", "exclusive")] = Field(
        "shared", description="`exclusive`: at most one sandbox on a node, for calibration"
    )
    runtime_class: ObjectName | None = Field(None, description="RuntimeClass", examples=["gvisor"])
    node_selector: dict[LabelKey, LabelValue] = Field(
        {},
        description="labels of the nodes; one machine type per sweep. `kubernetes.io/arch` is `amd64` where not said",
        examples=[{"pool": "sandboxes"}],
    )
    tolerations: tuple[Toleration, ...] = Field(
        (),
        description="taints that the pods tolerate",
        examples=[[{"key": "pool", "operator": "Equal", "value": "sandboxes", "effect": "NoSchedule"}]],
    )
    pull_secrets: tuple[ObjectName, ...] = Field(
        (), description="names of Secrets in the namespace for private registries", examples=[["registry"]]
    )
    priority_class: ObjectName | None = Field(None, description="PriorityClass", examples=["sandboxes"])
    allow_unreachable_limits: Flag = Field(
        False, description="run even where a finite limit is above what a node has free; it is reported"
    )
    create_rate: Annotated[Number, Field(gt=0)] = Field(
        8.0, description="most pods created a second, over all runners", examples=[8]
    )
    max_pending: Annotated[Whole, Field(ge=1)] = Field(
        50, description="most pods that wait for a node or an image at once", examples=[50]
    )


KIND = SandboxKind(
    name="kubernetes",
    options=KubernetesConfig,
    provider="raysweep.sandbox.kubernetes.provider:make",
    images="named",
    in_pods=True,
    node_labels=True,
)
