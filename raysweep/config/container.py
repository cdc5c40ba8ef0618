"""What kinds with containers take: names of images, labels and objects; tolerations; the options that they share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from raysweep.config.base import Part, Seconds, Text
from raysweep.config.fault import Fault, nearest, raise_faults, refuse
from raysweep.config.sandbox import SandboxConfig, StudyFacts

_HOST, _PATH = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/", r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*"
_IMAGE = re.compile(rf"(?:{_HOST})?{_PATH}(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)
_MIRROR = re.compile(rf"{_HOST[:-1]}(?:/{_PATH})?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_ENGINE = re.compile(r"(unix:///.+|(tcp|http|https)://[^/\s]+)")


def _shaped(pattern: re.Pattern[str], what: str, like: str) -> AfterValidator:
    def look(value: str) -> str:
        if not pattern.fullmatch(value):
            raise refuse(f"is not {what}", f"write it like {like}")
        return value

    return AfterValidator(look)


def _quoted(value: object) -> object:
    if not isinstance(value, str):
        raise refuse("must be text", "quote it")
    return value


def _label_key(value: str) -> str:
    if not _LABEL_KEY.fullmatch(value):
        raise refuse("is not the key of a label", "write it like pool or example.com/pool")
    return value


Image = Annotated[Text, _shaped(_IMAGE, "the name of an image", "docker.io/library/python:3.12-slim-bookworm")]
Mirror = Annotated[Text, _shaped(_MIRROR, "a registry and a path in it", "registry.example.com/copies")]
Namespace = Annotated[Text, _shaped(_DNS_LABEL, "the name of a namespace", "raysweep-sandboxes")]
ObjectName = Annotated[Text, _shaped(_DNS_NAME, "the name of a Kubernetes object", "gvisor")]
LabelKey = Annotated[Text, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_quoted), _shaped(_LABEL_VALUE, "the value of a label", "sandboxes")]
Flag = Annotated[bool, Strict()]
Engine = Annotated[Text, _shaped(_ENGINE, "the address of an engine", "unix:///var/run/docker.sock or tcp://host:2375")]


def word(*words: str) -> BeforeValidator:
    """A validator that takes one of `words` and names the nearest for anything else."""

    def look(value: object) -> object:
        if value not in words:
            raise refuse("is not one of the possible values", nearest(value, words))
        return value

    return BeforeValidator(look)


class Toleration(Part):
    """One toleration of every sandbox's pod, as Kubernetes writes it."""

    key: LabelKey | None = Field(None, description="key of the taint; left out with `Exists`: every", examples=["pool"])
    operator: Literal["Equal", "Exists"] = Field(
        "Equal", description="Equal: `value` must be the taint's; Exists: any value", examples=["Exists"]
    )
    value: LabelValue | None = Field(None, description="value of the taint")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="effect of the taint; left out: every"
    )

    @model_validator(mode="after")
    def _rules(self) -> Toleration:
        raise_faults("Toleration", self._faults())
        return self

    def _faults(self) -> Iterator[Fault]:
        if self.operator == "Exists" and self.value is not None:
            yield Fault(("value",), "stands beside `operator: Exists`, which needs none", "remove one of the two")
        if self.operator == "Equal" and self.key is None:
            yield Fault(("key",), "is needed to compare a value", "name the taint's key, or write `operator: Exists`")


class ContainerConfig(SandboxConfig):
    """Options that all kinds with images of containers share."""

    network: Literal["task", "none"] = Field(
        "task", description="`task` gives network to tasks that declare it, `none` to nobody"
    )
    image: Image = Field(
        "docker.io/library/python:3.12-slim-bookworm",
        description="image of tasks that need none of their own",
        examples=["docker.io/library/python:3.12-slim-bookworm"],
    )
    images: Annotated[Literal["resolve", "require", "tags"], word("resolve", "require", "tags")] = Field(
        "resolve",
        description="`resolve`: what a tag means is looked up when the run is made, and every "
        "attempt runs that digest; `require`: the same, and no run is made where a name cannot be resolved; `tags`: "
        "nothing is looked up (nodes that cannot pull)",
        examples=["require"],
    )
    image_mirror: Mirror | None = Field(
        None,
        description="registry and path below which copies of all images lie under their full "
        "names (scripts/mirror-images makes them); left out: images come from where they are named",
        examples=["europe-west4-docker.pkg.dev/my-project/raysweep"],
    )
    capabilities: Annotated[Literal["package-install", "strict"], word("package-install", "strict")] = Field(
        "package-install",
        description="Linux capabilities inside, the same in every arm; `package-install`: what "
        "apt, chown and su need; `strict`: none",
    )
    pull: Annotated[Literal["missing", "never", "always"], word("missing", "never", "always")] = Field(
        "missing", description="when images are pulled", examples=["never"]
    )
    require_isolation: Flag = Field(False, description="refuse to run where missing network isolation was measured")
    start_timeout: Annotated[Seconds, Field(gt=0)] = Field(
        600.0,
        description="longest wait for a sandbox, image pull and scheduling included",
        examples=["10m"],
    )

    def provider_options(self, study: StudyFacts) -> dict[str, Any]:
        """As SandboxConfig.provider_options; the image under the name by which it is taken."""
        return {**super().provider_options(study), "image": study.image(self.image)}
