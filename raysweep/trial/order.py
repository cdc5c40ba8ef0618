"""What a runner is told: one attempt of one planned trial, as a value that travels to any process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysweep.config.apis import ModelApi
from raysweep.config.factors import ChangedLevels, Factors, agent_multiplier
from raysweep.ids import attempt_id
from raysweep.plan.model import PlannedTrial
from raysweep.record.place import RunPath
from raysweep.tasks.model import Task


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class BandMultipliers:
    """The band as multipliers of the task's spec, for the row; None = no bound."""

    request: Mapping[str, float | None]
    limit: Mapping[str, float | None]


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class Conditions:
    """What the arm's levels of the swept factors besides the band mean for one attempt.

    swept: names of those factors. agent_timeout: multiplier of the task's agent time limit. egress: bytes a second
    that the sandbox may send, None for no bound. node_selector: labels of the nodes that may take it. What is not swept
    stays at its default; concurrency is the queue's business.
    """

    swept: tuple[str, ...] = ()
    agent_timeout: float = 1.0
    egress: int | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, factors: Factors, changed: ChangedLevels) -> Conditions:
        """Those of an arm with the levels `changed`."""
        return cls(
            swept=tuple(factors.declared),
            agent_timeout=agent_multiplier(factors, changed),
            egress=factors.value("egress", changed),
            node_selector=factors.value("node_type", changed, {}),
        )


@dataclass(frozen=True)  # no slots: it travels, and Python pickles slots slowly
class TrialOrder:
    """One attempt to run.

    now: the driver's wall time at dispatch; the runner adds its own monotonic time to it, so that every wall time of
    the ledger is the driver's. occasion: label of the planned occasion. traces: folder for this attempt's files.
    image: what its sandbox starts from, by digest where the run has one; None leaves it to the task. image_seen: where
    `image` is a tag, the first identity (trial.images) that the driver knows of it in this run. api_name, api: the
    model API that its agent calls, if it calls one. most_usd: the most that its calls may cost, None for no bound.
    """

    run_id: str
    plan_id: str
    trial: PlannedTrial
    task: Task
    repeat: int
    bucket: str
    occasion: str
    band: BandMultipliers
    agent: str
    agent_options: Mapping[str, Any]
    attempt: int
    block_run: int
    now: float
    pids: int = 1024
    network: bool = False
    traces: RunPath | None = None
    conditions: Conditions = Conditions()
    image: str | None = None
    image_seen: str | None = None
    api_name: str | None = None
    api: ModelApi | None = None
    most_usd: float | None = None

    @property
    def agent_timeout_s(self) -> float:
        """The agent's time limit under the arm's conditions, seconds."""
        return self.task.agent_timeout_s * self.conditions.agent_timeout

    @property
    def attempt_id(self) -> str:
        """Identifier of this attempt; also the sandbox's name."""
        return attempt_id(self.trial.trial_id, self.attempt)
