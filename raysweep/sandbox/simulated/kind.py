"""The simulated kind of sandbox: its options, and what it needs and can."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from raysweep.config.sandbox import SandboxConfig, StudyFacts
from raysweep.config.simulation import Truth
from raysweep.kind import SandboxKind


class SimulatedConfig(SandboxConfig):
    """No sandbox at all: outcomes come from a stated truth."""

    truth: Truth = Field(Truth(), description="what is true; see the keys below", examples=[{"success": 0.5}])

    def provider_options(self, study: StudyFacts) -> dict[str, Any]:
        """The truth as plain values, the processes that make faults apart."""
        truth = self.truth.model_dump()
        faults = {name: truth.pop(name) for name in ("nodes", "node_loss", "api_outage", "latency")}
        faults |= {"seed": study.seed, "timezone": study.timezone}
        return {**truth, "seed": study.seed, "phases": dict(study.phases), "faults": faults}


KIND = SandboxKind(
    name="simulated",
    options=SimulatedConfig,
    provider="raysweep.sandbox.simulated.provider:make",
    real=False,
    in_pods=True,
)
