"""A picklable recipe that driver and runners turn into providers of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysweep.clock import Clock
from raysweep.errors import UnsuitableError
from raysweep.kind import UnusableKindError, find_kind, load
from raysweep.packages import missing_package
from raysweep.sandbox.protocol import SandboxProvider


@dataclass(frozen=True, slots=True)
class ProviderRecipe:
    """A kind and its options as plain values; calling it makes a runner's own provider."""

    kind: str
    scratch: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, owner: str, clock: Clock | None = None) -> SandboxProvider:
        """The provider for the runner named `owner`; UnsuitableError where the kind or what it needs is not installed.

        clock: by which simulated faults come; left out: the machine's.
        """
        try:
            make: Callable[..., SandboxProvider] = load(find_kind(self.kind).provider)
        except KeyError:
            missing = f"there is no sandbox kind {self.kind} here"
            raise UnsuitableError(missing, "install the package that brings it on every machine") from None
        except UnusableKindError as error:
            raise UnsuitableError(error.message, error.remedy) from error
        except ModuleNotFoundError as error:
            raise (missing_package(error) or error) from error
        return make(owner, self.scratch, clock, self.options)
