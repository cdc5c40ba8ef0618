"""The words that code, config, columns and reports share: outcomes, causes, phases, enforcement, check statuses.

Each is a StrEnum, so a member equals and prints as its string, in Parquet and JSON too. Belongs here: closed lists of
words that more than one package uses. Does not: what follows from a word (`trial.classify`, `stats.endings`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What an attempt counts as."""

    SCORED = "scored"
    INFRA = "infra"
    AGENT_ERROR = "agent_error"
    MODEL_API = "model_api"
    VERIFIER_ERROR = "verifier_error"
    CANCELLED = "cancelled"


class CauseClass(StrEnum):
    """Whose doing an infra outcome is: the arm's (final), the platform's (retried within a cap) or unknown (final)."""

    RESOURCE = "resource"
    PLATFORM = "platform"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """What an infra outcome comes from."""

    OOM_LIMIT = "oom_limit"
    OOM_VERIFIER = "oom_verifier"
    EVICTED_OWN_USE = "evicted_own_use"
    DISK_FULL = "disk_full"
    PIDS_LIMIT = "pids_limit"
    CPU_LIMIT = "cpu_limit"
    NODE_LOST = "node_lost"
    NODE_PRESSURE = "node_pressure"
    PREEMPTED = "preempted"
    DRAINED = "drained"
    IMAGE = "image"
    API_SERVER = "api_server"
    RUNNER_LOST = "runner_lost"
    SCHEDULING = "scheduling"
    DEADLINE = "deadline"
    ALTERED = "altered"
    OOM_NODE = "oom_node"
    OOM_UNKNOWN = "oom_unknown"
    API_RATE_LIMITED = "api_rate_limited"
    API_DOWN = "api_down"
    API_TIMED_OUT = "api_timed_out"
    API_REFUSED = "api_refused"


_RESOURCE, _PLATFORM, _UNKNOWN = ((c,) for c in CauseClass)

CAUSE_CLASSES: Final[dict[Cause, tuple[CauseClass, ...]]] = {
    Cause.OOM_LIMIT: _RESOURCE,
    Cause.OOM_VERIFIER: _RESOURCE,
    Cause.EVICTED_OWN_USE: _RESOURCE,
    Cause.DISK_FULL: _RESOURCE,
    Cause.PIDS_LIMIT: _RESOURCE,
    Cause.CPU_LIMIT: _RESOURCE,
    Cause.NODE_LOST: _PLATFORM,
    Cause.NODE_PRESSURE: _PLATFORM,
    Cause.PREEMPTED: _PLATFORM,
    Cause.DRAINED: _PLATFORM,
    Cause.IMAGE: _PLATFORM,
    Cause.API_SERVER: _PLATFORM,
    Cause.RUNNER_LOST: _PLATFORM,
    Cause.SCHEDULING: _PLATFORM,
    Cause.DEADLINE: _PLATFORM,
    Cause.ALTERED: _PLATFORM,
    Cause.OOM_NODE: (*_RESOURCE, *_PLATFORM),
    Cause.OOM_UNKNOWN: _UNKNOWN,
    Cause.API_RATE_LIMITED: _PLATFORM,
    Cause.API_DOWN: _PLATFORM,
    Cause.API_TIMED_OUT: _PLATFORM,
    Cause.API_REFUSED: _PLATFORM,
}
"""The classes that a cause may have; where there are two, the evidence of each attempt decides."""


def causes_of(cause_class: CauseClass) -> tuple[Cause, ...]:
    """The causes that may have this class, in the order of the table."""
    return tuple(cause for cause, classes in CAUSE_CLASSES.items() if cause_class in classes)


PLATFORM_CAUSES: Final = causes_of(CauseClass.PLATFORM)
"""Causes that are retried: the keys of `platform_retries`."""


class Phase(StrEnum):
    """Parts of an attempt, in their order; each has counters of its own."""

    SETUP = "setup"
    AGENT = "agent"
    VERIFIER = "verifier"


class Enforcement(StrEnum):
    """How a sandbox enforces a bound; `sandbox.protocol.Capabilities` says which of these each bound can have."""

    ENFORCED = "enforced"
    NODE_SETTING = "node_setting"
    ENOSPC = "enospc"
    EVICT = "evict"
    REQUESTED = "requested"
    NONE = "none"


class OomScope(StrEnum):
    """What the kernel kills when a memory limit is full: one process, or the whole sandbox."""

    PROCESS = "process"
    GROUP = "group"


class ApiFailure(StrEnum):
    """How a model call failed; `gateway.call` says which answer is which."""

    RATE_LIMITED = "rate_limited"
    DOWN = "down"
    TIMED_OUT = "timed_out"
    REFUSED = "refused"
    BAD_REQUEST = "bad_request"
    OVER_BUDGET = "over_budget"
    CUT = "cut"


class CheckStatus(StrEnum):
    """What a validity check says, most serious first; a note is to be read before the numbers are used."""

    WARNING = "warning"
    NOTE = "note"
    OK = "ok"
