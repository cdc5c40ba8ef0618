"""Kinds of sandboxes: what a kind is to the rest of the program, and where kinds are found.

A kind is one `SandboxKind` object, found by its name in the entry point group `raysweep.sandboxes`. Belongs here: that
object and finding it. Not here: what a kind does (its own package) and what a sweep writes about it (its options).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from pydantic import BaseModel

GROUP = "raysweep.sandboxes"
BUILT_IN = {
    "local": "raysweep.sandbox.local.kind:KIND",
    "simulated": "raysweep.sandbox.simulated.kind:KIND",
    "docker": "raysweep.sandbox.docker.kind:KIND",
    "kubernetes": "raysweep.sandbox.kubernetes.kind:KIND",
}
"""Known without looking at installed packages, so that a source tree with old metadata has them too."""


@dataclass(frozen=True, slots=True)
class SandboxKind:
    """One kind of sandbox. Everything that imports much is named here, not imported.

    Attributes:
        name: as `sandbox.kind` has it.
        options: model of the `sandbox` section for this kind, a subclass of `raysweep.config.sandbox.SandboxConfig`.
        provider: `MODULE:NAME` of a function that takes (owner, scratch, clock, options) and returns a
            `raysweep.sandbox.protocol.SandboxProvider`; options are what `options.provider_options` returned. What the
            kind enforces, checks and cleans up is the provider's: `capabilities`, `doctor`, `gc`.
        images: what a task may ask for: no image, an image by name, or also one that is built from its Dockerfile.
        real: False for a kind that makes outcomes up: tasks need no files, attempts leave no traces.
        here: whether it needs nothing but this machine, so that `raysweep doctor` and `gc` look at it unasked.
        in_pods: whether runners that are pods of a cluster can open such sandboxes.
        node_labels: whether a sandbox can be placed on nodes by their labels (the factor `node_type`).

    """

    name: str
    options: type[BaseModel]
    provider: str
    images: Literal["none", "named", "built"] = "none"
    real: bool = True
    here: bool = False
    in_pods: bool = False
    node_labels: bool = False


class UnusableKindError(ValueError):
    """A plug-in that is installed and cannot be used; has the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@cache
def find_kind(name: str) -> SandboxKind:
    """The kind of that name; KeyError where there is none, UnusableKindError where its plug-in cannot be used."""
    if name in BUILT_IN:
        built_in: SandboxKind = load(BUILT_IN[name])
        return built_in
    for entry in entry_points(group=GROUP, name=name):
        return _plug_in(entry)
    raise KeyError(name)


def kind_names() -> list[str]:
    """Names of all kinds that are installed here; built-in ones first."""
    return [*BUILT_IN, *sorted({entry.name for entry in entry_points(group=GROUP)} - set(BUILT_IN))]


def usable_kinds() -> Iterator[SandboxKind]:
    """All kinds that are installed here and can be used."""
    for name in kind_names():
        try:
            yield find_kind(name)
        except UnusableKindError:
            continue


def load(reference: str) -> Any:
    """What `MODULE:NAME` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _plug_in(entry: EntryPoint) -> SandboxKind:
    package = entry.dist.name if entry.dist is not None else entry.value
    remedy = f"install a version of {package} that works with this raysweep, or remove it"
    try:
        kind = entry.load()
    except Exception as error:
        raise UnusableKindError(f"{package} cannot be imported ({type(error).__name__}: {error})", remedy) from error
    if not isinstance(kind, SandboxKind) or kind.name != entry.name:
        raise UnusableKindError(f"{package}: {entry.value} is not the SandboxKind `{entry.name}`", remedy)
    return kind
