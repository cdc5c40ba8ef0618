"""What an attempt counts as: one pure function from raw facts to an outcome. No other place decides.

| # | seen, first match wins | outcome |
|---|---|---|
| 1 | a platform cause was seen directly (image, node_lost, runner_lost, altered, ...) | infra/that cause, platform |
| 2 | cancelled by the user or by ourselves | cancelled |
| 3 | evicted: for its own limit, or by node pressure above the own request | infra/evicted_own_use |
| 4 | evicted by node pressure below the own request | infra/node_pressure, platform |
| 5 | the agent's (or set-up's) process or the sandbox ended by a kill, and the phase counted OOM kills | infra/oom_* |
| 6 | the same, but the counters could not be read | infra/oom_unknown |
| 7 | set-up failed, and a process in it was OOM-killed | infra/oom_* |
| 8 | set-up failed: disk full / forks denied / time lost to the cpu quota | infra/disk_full, pids_limit, cpu_limit |
| 9 | set-up failed otherwise: timeout / anything else | infra/deadline / image, platform |
| 10 | agent ended in error beside an OOM kill, and the reward is not full | infra/oom_* |
| 11 | agent ended in error beside a full disk or denied forks, reward not full | infra/disk_full, pids_limit |
| 12 | the model's API kept the agent from its work (below), and the reward is not full | model_api/api_*, platform |
| 12b | the agent says that the model's API failed for good, and no gateway saw its calls | model_api |
| 13 | the agent itself broke, or what it needs could not be made ready (rows 7 and 8 first) | agent_error |
| 14 | OOM kill in the verifier phase and the reward is missing or below full | infra/oom_verifier |
| 15 | no reward: disk full / forks denied / time lost to the cpu quota | infra/disk_full, pids_limit, cpu_limit |
| 16 | the verifier gave no reward | verifier_error |
| 17 | else | scored |

A sandbox that **ended by itself**, without a kill, or that **broke** since the agent's phase began (its answers make no
sense, it cannot start commands), is the agent's doing: nobody else was there. In the agent phase that is the bound that
was met beside it (rows 10, 11) or `agent_error`, in the verifier phase row 14, 15 or 16; what broke is `agent_error` in
both. Before the agent's phase it is the platform's (`node_lost`; what broke is row 1).

The principle behind rows 5 to 11, 14 and 15: a phase that failed because the arm's own bound was reached is the arm's
outcome, whatever its process told (most harnesses and installers run the work in a child and exit 1 when it is killed).
A child that was OOM-killed while the agent went on to end well is not infra: row 17, with oom_kills beside the score.
Where the agent's process ended in error beside such an event, the verifier runs all the same (`needs_verifier`): work
that was done counts.

Time lost to the cpu quota (rows 8, 15): the phase ran into its time limit below a finite cpu limit, and was throttled
for at least a fifth of that time. In that time it wanted to run and only its quota kept it from running: a demand that
missed the time limit by no more than that would have fitted unthrottled. A phase that sleeps or waits for others is not
throttled. What it would have needed beyond nobody can know, so a program that never ends counts as cpu_limit under a
tight quota, and as a timeout without one.

The model's API (row 12), by what the gateway saw: the agent ran into its time limit and was blocked by 429, 5xx,
outages, their back-off and the gateway's own queue for at least the registered share of it (`apis.*.blocked_share`); or
the agent ended in error, or gave up early, and its last call had failed for the API's sake. What an agent can bring
about by what it asks (400, 404, its money bound) is its own doing. An agent that was slow by itself stays scored.

OOM with proof (row 5): `oom_limit` needs a finite memory limit and proof that *that* limit was full: on v2 the delta
of `oom` in memory.events.local of the cgroup that carries it; on v1 the kernel log's oom_memcg where readable
(decisive), else a high-water mark within 1 % of the limit and no sign that an ancestor was full. Without proof it is
`oom_node`: the arm's own outcome where its last unreclaimable sample was above its request, the platform's below.
A kill in the verifier phase is told apart first (`oom_verifier`), unless an ancestor was to blame.

Where the ancestors are out of sight (pods), the last sample before the kill stands for them. **Room**: the node then
had at least twice the limit free beyond what it reserves; within the second to the kill the task can have taken one
limit at most, the other is left to its neighbours, so no ancestor was full. Without room, unreclaimable memory below
half the limit is the sign that an ancestor was.

A group kill (v2 memory.oom.group) takes the counters with it, unless they were read in the moment before. The platform
then tells of an OOM, not whose: the kernel kills the whole container for an ancestor too. With a finite limit, room
proves by exclusion that it was the own one; without room it is `oom_unknown`. Without a limit it was an ancestor:
`oom_node`.
"""

from __future__ import annotations

from raysweep.record.evidence import CommandFacts, Evidence, PhaseCounters, Verdict
from raysweep.vocabulary import ApiFailure, Cause, CauseClass, Outcome, Phase

SIGKILL = 9
FULL_REWARD = 1.0
NEAR_LIMIT = 0.99
"""A v1 high-water mark at or above this share of the limit counts as having been at it (charges come in batches)."""
THROTTLED_SHARE = 0.2
"""A phase that timed out and was throttled for at least this share of its time lost it to the cpu quota."""
ROOM_LIMITS = 2
"""Free memory above the task's cgroup, in its limits, with which a second before a kill no ancestor counts as full."""


def classify(evidence: Evidence) -> Verdict:
    """The verdict on one attempt, by the table above."""
    for rule in (_direct, _evicted, _broken, _setup, _agent, _verifier):
        verdict = rule(evidence)
        if verdict is not None:
            return verdict
    return Verdict(Outcome.SCORED, phase=Phase.VERIFIER)


def needs_verifier(evidence: Evidence) -> bool:
    """Whether the verifier must run to judge an attempt whose agent phase is over (evidence: without a verifier's)."""
    verdict = classify(evidence)
    return verdict.outcome == Outcome.VERIFIER_ERROR or _beside(evidence) is not None or _api(evidence) is not None


def _infra(cause: str, phase: str | None, cause_class: CauseClass = CauseClass.RESOURCE) -> Verdict:
    return Verdict(Outcome.INFRA, cause, phase, cause_class)


def _direct(e: Evidence) -> Verdict | None:
    if e.platform is not None:
        return _infra(e.platform, e.died_in, CauseClass.PLATFORM)
    if e.cancelled:
        return Verdict(Outcome.CANCELLED, phase=e.died_in)
    return None


def _evicted(e: Evidence) -> Verdict | None:
    if e.evicted is None:
        return None
    request = getattr(e.request, e.evicted.resource, None)
    above = e.evicted.usage is not None and request is not None and e.evicted.usage > request
    if e.evicted.own_limit or above:
        return _infra(Cause.EVICTED_OWN_USE, e.died_in)
    return _infra(Cause.NODE_PRESSURE, e.died_in, CauseClass.PLATFORM)


def _broken(e: Evidence) -> Verdict | None:
    """What runs inside for us was of no use any more, since the agent's phase began."""
    if e.broken is None:
        return None
    for phase in (Phase.AGENT, Phase.VERIFIER):
        bound = _bound_met(e, phase)
        if bound is not None:
            return bound
    return Verdict(Outcome.AGENT_ERROR, phase=Phase.AGENT if e.verifier is None else Phase.VERIFIER)


def _killed(command: CommandFacts | None) -> bool:
    """Ended by SIGKILL that was not our own time-out; a shell tells its child's death as 128 + 9."""
    return (
        command is not None and not command.timed_out and (command.signal == SIGKILL or command.exit == 128 + SIGKILL)
    )


def _failed(command: CommandFacts | None) -> bool:
    return command is not None and command.exit != 0


def _oom(e: Evidence, phase: str) -> Verdict:
    """The OOM verdict for a kill in `phase`: whose limit was full."""
    counters = e.counters[phase]
    if _own_limit_proven(e, counters):
        return _infra(Cause.OOM_LIMIT, phase)
    if counters.oom_group and counters.oom_memcg_own is None and e.limit.memory is not None:
        return _infra(Cause.OOM_UNKNOWN, phase, CauseClass.UNKNOWN)
    # The last sample can come after the kill freed everything, so the largest sample stands beside it.
    samples = (counters.unreclaimable_last_bytes, counters.mem_anon_peak_bytes)
    seen = max((v for v in samples if v is not None), default=0)
    above = seen > (e.request.memory or 0)
    return _infra(Cause.OOM_NODE, phase, CauseClass.RESOURCE if above else CauseClass.PLATFORM)


def _own_limit_proven(e: Evidence, c: PhaseCounters) -> bool:
    limit = e.limit.memory
    if limit is None:
        return False
    if c.oom_group and c.oom_memcg_own is None and c.own_limit_ooms is None:
        return _room(c, limit)
    if c.own_limit_ooms is not None or (e.cgroup == 2 and not c.oom_group):
        return bool(c.own_limit_ooms)
    if c.oom_memcg_own is not None:
        return c.oom_memcg_own
    at_limit = c.limit_peak_bytes is not None and c.limit_peak_bytes >= NEAR_LIMIT * limit
    return at_limit and not _ancestor_full(c, limit)


def _room(c: PhaseCounters, limit: int) -> bool:
    return c.ancestor_room_bytes is not None and c.ancestor_room_bytes >= ROOM_LIMITS * limit


def _ancestor_full(c: PhaseCounters, limit: int) -> bool:
    """Whether an ancestor was full, or shows the sign of it where it is out of sight."""
    if c.ancestor_full is not None:
        return c.ancestor_full
    small = c.unreclaimable_last_bytes is not None and c.unreclaimable_last_bytes < limit / 2
    return small and not _room(c, limit)


def _kill_verdict(e: Evidence, phase: str, command: CommandFacts | None) -> Verdict | None:
    """Rows 5 and 6 for one phase: an OOM that ended the phase's own process or the sandbox."""
    if not (_killed(command) or e.died_in == phase):
        return None
    counters = e.counters.get(phase)
    if counters is None or counters.oom_kills is None:
        return _infra(Cause.OOM_UNKNOWN, phase, CauseClass.UNKNOWN)
    if counters.oom_kills > 0:
        return _oom(e, phase)
    return _ended_by_itself(e, phase) if e.died_in == phase else None


def _ended_by_itself(e: Evidence, phase: str) -> Verdict:
    """A sandbox that ended without any kill, and without a word of the platform's."""
    if phase == Phase.SETUP:
        return _infra(Cause.NODE_LOST, phase, CauseClass.PLATFORM)
    without = Outcome.AGENT_ERROR if phase == Phase.AGENT else Outcome.VERIFIER_ERROR
    return _exhausted(e, phase) or Verdict(without, phase=phase)


def _bound_met(e: Evidence, phase: str) -> Verdict | None:
    """The own bound that a phase met: memory (killed processes), disk or pids."""
    return _oom(e, phase) if _oom_kills(e, phase) else _exhausted(e, phase)


def _exhausted(e: Evidence, phase: str) -> Verdict | None:
    """A bound of the sandbox other than memory that was full when the phase ended in error."""
    counters = e.counters.get(phase)
    if counters is None:
        return None
    if counters.disk_full:
        return _infra(Cause.DISK_FULL, phase)
    if counters.pids_denied:
        return _infra(Cause.PIDS_LIMIT, phase)
    return None


def _setup(e: Evidence) -> Verdict | None:
    killed = _kill_verdict(e, Phase.SETUP, e.setup)
    if killed is not None or not _failed(e.setup):
        return killed
    bound = _bound_met(e, Phase.SETUP) or _throttled_out(e, Phase.SETUP, e.setup)
    if bound is not None:
        return bound
    assert e.setup is not None  # noqa: S101 - _failed said so; tells mypy
    return _infra(Cause.DEADLINE if e.setup.timed_out else Cause.IMAGE, Phase.SETUP, CauseClass.PLATFORM)


def _agent(e: Evidence) -> Verdict | None:
    if e.agent is None:
        return None
    if e.agent.phase == Phase.SETUP:
        return _unprepared(e)
    command = e.agent.command
    killed = _kill_verdict(e, Phase.AGENT, command)
    if killed is not None:
        return killed
    beside = _beside(e) or _api(e)
    if beside is not None:
        full = e.verifier is not None and e.verifier.reward is not None and e.verifier.reward >= FULL_REWARD
        return None if full else beside
    if e.agent.model_api_error is not None:
        return Verdict(Outcome.MODEL_API, phase=Phase.AGENT)
    return None if e.agent.error is None else Verdict(Outcome.AGENT_ERROR, phase=Phase.AGENT)


def _api(e: Evidence) -> Verdict | None:
    """Row 12: the model's API kept the agent from its work, or None."""
    agent = e.agent
    if agent is None or agent.api is None or _killed(agent.command) or e.died_in is not None:
        return None
    api = agent.api
    if agent.timed_out or (agent.command is not None and agent.command.timed_out):
        limit = e.agent_timeout_s
        blocked = limit is not None and api.blocked_s >= e.api_blocked_share * limit
        failure = (api.main_failure or ApiFailure.RATE_LIMITED) if blocked else None
    else:
        failure = api.last_failure
    if failure is None:
        return None
    return Verdict(Outcome.MODEL_API, Cause(f"api_{failure}"), Phase.AGENT, CauseClass.PLATFORM)


def _unprepared(e: Evidence) -> Verdict:
    """An agent that could not make ready what it needs inside, during set-up."""
    return _bound_met(e, Phase.SETUP) or Verdict(Outcome.AGENT_ERROR, phase=Phase.SETUP)


def _beside(e: Evidence) -> Verdict | None:
    """What a bound did beside an agent whose own process ended in error by itself (rows 10, 11), or None."""
    if e.agent is None or _kill_verdict(e, Phase.AGENT, e.agent.command) is not None:
        return None
    command = e.agent.command
    failed = _failed(command) and not (command and command.timed_out)
    if not failed and e.agent.error is None:
        return None
    return _bound_met(e, Phase.AGENT)


def _oom_kills(e: Evidence, phase: str) -> bool:
    counters = e.counters.get(phase)
    return counters is not None and bool(counters.oom_kills)


def _throttled_out(e: Evidence, phase: str, command: CommandFacts | None) -> Verdict | None:
    """cpu_limit where the phase timed out for want of the cpu that its quota withheld."""
    counters = e.counters.get(phase)
    if command is None or not command.timed_out or e.limit.cpu is None or counters is None:
        return None
    if not counters.throttled_us or not command.duration_s:
        return None
    lost = counters.throttled_us / 1e6 >= THROTTLED_SHARE * command.duration_s
    return _infra(Cause.CPU_LIMIT, phase) if lost else None


def _verifier(e: Evidence) -> Verdict | None:
    verifier = e.verifier
    reward = verifier.reward if verifier else None
    counters = e.counters.get(Phase.VERIFIER)
    short = reward is None or reward < FULL_REWARD
    if short and counters is not None and counters.oom_kills:
        verdict = _oom(e, Phase.VERIFIER)
        return _infra(Cause.OOM_VERIFIER, Phase.VERIFIER) if verdict.cause_class == CauseClass.RESOURCE else verdict
    if e.died_in == Phase.VERIFIER:
        return _kill_verdict(e, Phase.VERIFIER, None)
    if reward is None:
        bound = _exhausted(e, Phase.VERIFIER) or _throttled_out(
            e, Phase.VERIFIER, verifier.command if verifier else None
        )
        return bound or Verdict(Outcome.VERIFIER_ERROR, phase=Phase.VERIFIER)
    return None
