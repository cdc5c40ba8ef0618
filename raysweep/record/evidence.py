"""Raw facts of one attempt, collected before teardown; `trial.classify` is the only reader that judges them.

Unknown is None, never 0. Sizes are bytes, cpu is millicores, times are seconds. Counters of a phase are deltas over
that phase; peaks are of that phase where the kernel can tell them apart, else None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raysweep.units import Resources
from raysweep.vocabulary import CauseClass, Outcome, Phase


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the task's cgroup: `t` seconds since the sandbox was ready (monotonic)."""

    t: float
    memory: int | None = None
    unreclaimable: int | None = None
    anon: int | None = None
    cpu_usec: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class PhaseCounters:
    """What the kernel counted for the task's processes during one phase.

    oom_kills: processes killed by any OOM killer (v1 leaf `oom_kill`; v2 `oom_kill` of memory.events).
    own_limit_ooms: v2 only: delta of `oom` in memory.events.local of the cgroup that carries the arm's limit.
    oom_memcg_own: v1, and group kills on v2: the kernel log names our limit's cgroup as the one that was full (True),
        another one (False), or could not be read (None).
    limit_peak_bytes: high-water mark of the cgroup that carries the limit (proof on v1 when the log is silent).
    ancestor_full: an ancestor's failcnt (v1) or `oom`/`max` events (v2) moved during this phase. In a container, which
        does not see them: True where the own v1 failcnt shows that a kill cannot have been the own limit's, else None.
    ancestor_room_bytes: containers only, in phases with a kill: what was still free above the limit's cgroup at the
        last sample before the kill (the node's MemAvailable without what the node reserves).
    oom_group: the whole sandbox was OOM-killed at once, so that its own counters died with it; oom_kills is at least 1
        by the platform's word then, and the other counters are those of the last sample.
    mem_peak_bytes: the phase's high-water mark, page cache included (upper bound).
    mem_anon_peak_bytes: largest sampled anon + shmem (lower bound).
    unreclaimable_last_bytes: last sample of memory that reclaim could not free; containers: the last before a kill.
    cpu_peak_1s, cpu_peak_10s: largest mean cpu over 1 s and 10 s windows, millicores.
    throttled_us, nr_throttled: cpu quota throttling. pids_peak: largest number of tasks; pids_denied: refused forks.
    disk_full: the sandbox's own disk bound was found full. cpu_used_us: cpu time used in the phase.
    """

    phase: str
    oom_kills: int | None = None
    own_limit_ooms: int | None = None
    oom_memcg_own: bool | None = None
    limit_peak_bytes: int | None = None
    ancestor_full: bool | None = None
    ancestor_room_bytes: int | None = None
    oom_group: bool = False
    mem_peak_bytes: int | None = None
    mem_anon_peak_bytes: int | None = None
    unreclaimable_last_bytes: int | None = None
    cpu_peak_1s: float | None = None
    cpu_peak_10s: float | None = None
    throttled_us: int | None = None
    nr_throttled: int | None = None
    pids_peak: int | None = None
    pids_denied: int | None = None
    disk_full: bool | None = None
    cpu_used_us: int | None = None


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """How one command ended. Exactly one of `exit` and `signal` is set, both None when it never ended for us."""

    exit: int | None = None
    signal: int | None = None
    timed_out: bool = False
    duration_s: float | None = None

    def ending(self) -> str:
        """How it ended, in a few words."""
        if self.timed_out:
            return "timed out" if self.duration_s is None else f"timed out after {self.duration_s:.1f} s"
        if self.signal is not None:
            return f"killed by signal {self.signal}"
        return "did not end" if self.exit is None else f"exit {self.exit}"


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What the gateway saw of an attempt's model calls.

    calls: all of them. errors: failed ones by vocabulary.ApiFailure. tokens_*: sums of what answers stated, None where
    none did. usd: cost of the calls whose price and tokens are known, None where no call's are; unpriced: number of the
    others (a call that was cut may be billed all the same). waiting_s: time with a call under way. blocked_s:
    time in which failed calls, their back-off and the gateway's queue kept the agent from working. latency_*,
    first_token_*: milliseconds. tokens_per_s_*: output speed of streams. models_named: as the answers name them.
    last_failure: why the last call failed, where that was the API's doing. main_failure, refusal: the last such failure
    of all calls, and its words.
    """

    calls: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    usd: float | None = None
    unpriced: int = 0
    waiting_s: float = 0.0
    blocked_s: float = 0.0
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    first_token_p50_ms: float | None = None
    first_token_p95_ms: float | None = None
    tokens_per_s_p50: float | None = None
    tokens_per_s_p95: float | None = None
    models_named: tuple[str, ...] = ()
    last_failure: str | None = None
    main_failure: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What the agent reports: the command that *was* the agent, its own error, and what it spent.

    printed: how its command ended and the last lines that it printed, where it failed. timed_out: it ran into its time
    limit, whether or not a command of it did. phase: the one in which it ended. traces: files for the attempt's trace,
    by name. api_*: model calls, as the ledger's columns of these names. harness: the program that ran the model and its
    version, where that is not the agent itself. api: what the gateway saw; set by the runner, never by an agent.
    """

    command: CommandFacts | None = None
    printed: str | None = None
    error: str | None = None
    model_api_error: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost_usd: float | None = None
    api_p50_ms: float | None = None
    api_p95_ms: float | None = None
    api_429: int | None = None
    timed_out: bool = False
    phase: Phase = Phase.AGENT
    traces: Mapping[str, bytes] = field(default_factory=dict)
    harness: str | None = None
    api: ApiFacts | None = None


@dataclass(frozen=True, slots=True)
class VerifierFacts:
    """What Harbor's verifier contract yielded: a reward, or the reason why there is none."""

    command: CommandFacts | None = None
    reward: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Evicted:
    """An eviction as the platform tells it: which resource, whether by the pod's own limit, usage in the message."""

    resource: str
    own_limit: bool
    usage: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known about one attempt when it ended.

    limit, request: as admitted. platform: a platform cause that was seen directly (image, node_lost, runner_lost,
    altered, ...) with `platform_detail`. died_in: the phase in which the sandbox itself ended by itself, if it did.
    broken: why what runs inside the sandbox for us was of no use any more, since the agent's phase began (else it is a
    platform cause).
    cgroup: 1 or 2 where counters came from a cgroup; None when they could not be read at all. agent_timeout_s: the
    agent's time limit. api_blocked_share: the share of it that counts as blocked by the model API (config.apis).
    """

    request: Resources = field(default_factory=Resources)
    limit: Resources = field(default_factory=Resources)
    cgroup: int | None = None
    setup: CommandFacts | None = None
    agent: AgentFacts | None = None
    verifier: VerifierFacts | None = None
    counters: Mapping[str, PhaseCounters] = field(default_factory=dict)
    died_in: str | None = None
    evicted: Evicted | None = None
    platform: str | None = None
    platform_detail: str | None = None
    broken: str | None = None
    cancelled: bool = False
    agent_timeout_s: float | None = None
    api_blocked_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt counts as: its outcome, the cause of `infra`, and the phase it happened in.

    cause_class says whose doing an infra outcome is; the cause alone does not tell, because `oom_node` may be either.
    """

    outcome: Outcome
    cause: str | None = None
    phase: str | None = None
    cause_class: CauseClass | None = None
