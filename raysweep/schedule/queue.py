"""Which attempt to launch next: an I/O-free state machine, `handle(event, now) -> instructions`.

The unit of release is a block: all its arms, in one occasion, never half of it. A block is released only while its
window is open and its 95th-percentile duration still fits. A platform cause is retried at once while the occasion
lasts, within a cap; when the occasion ended first, the whole block runs again (next block run) in a later window of
its bucket. Outcomes of the arm are never retried.

Enforcement probes (a ProbeBook says which) run while nothing else does: before the first block of an occasion begins,
and after its last one ended. Where the next occasion has opened by then its first round stands for both.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from raysweep.plan.model import Block, PlannedTrial
from raysweep.record.probes import AFTER, BEFORE, Round
from raysweep.record.resume import RunState, SweepState
from raysweep.schedule.calendar import Calendar, Occasion
from raysweep.schedule.probing import ProbeBook, round_of

GRACE_S = 900.0
"""How long after its window's end (at most the window's own length) a block that was begun may still be finished."""
RECENT_BLOCKS = 200
"""Blocks over which the 95th percentile of duration is taken: enough for a percentile, recent enough for a drift."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed, nothing else happened."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended. cause: its platform cause, else None. cancelled: it counts for nothing and may run again."""

    trial_id: str
    cause: str | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Release no more blocks; those begun are finished, or left as they are."""

    finish_blocks: bool = True


@dataclass(frozen=True, slots=True)
class Probed:
    """The round of probes that was asked for is over, whatever it found."""


Event: TypeAlias = Tick | Ended | Halt | Probed


@dataclass(frozen=True, slots=True)
class Launch:
    """Run this attempt now."""

    block: Block
    trial: PlannedTrial
    attempt: int
    block_run: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Run this round of probes now; nothing else is asked for until it is over."""

    round: Round


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to launch before `until` (seconds since the epoch) unless an attempt ends."""

    until: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is running and nothing more will. missing: planned blocks without a complete run."""

    missing: int


Instruction: TypeAlias = Launch | Probe | Sleep | Finish


@dataclass(slots=True)
class _Active:
    block: Block
    run: int
    occasion: Occasion
    began: float
    ended: set[str]
    missing: set[str] = field(default_factory=set)
    late: bool = False

    @property
    def deadline(self) -> float:
        """Until when attempts of this run may start."""
        return self.occasion.closes + min(self.occasion.closes - self.occasion.opens, GRACE_S)

    @property
    def settled(self) -> bool:
        return len(self.ended) + len(self.missing) == len(self.block.trials)


class Queue:
    """The state of a sweep's execution. `capacity`: trial slots; `caps`: retries by platform cause.

    probes: which rounds of probes there are; None for none.
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        calendar: Calendar,
        *,
        capacity: int,
        caps: Mapping[str, int],
        now: float,
        last_planned_date: int = 1,
        makeup_dates: int = 3,
        restored: SweepState | None = None,
        probes: ProbeBook | None = None,
    ) -> None:
        restored = restored or SweepState()
        self._probes = probes
        self._probing: Round | None = None
        self._last_begun: Occasion | None = None
        self._calendar = calendar
        self._capacity = capacity
        self._caps = caps
        self._attempts: Counter[str] = Counter(restored.attempts)
        self._runs: dict[str, int] = {}
        self._pending: defaultdict[tuple[str, int], deque[Block]] = defaultdict(deque)
        self._ready: deque[tuple[_Active, PlannedTrial]] = deque()
        self._active: dict[str, _Active] = {}
        self._block_of: dict[str, str] = {}
        self._retries: Counter[tuple[str, str]] = Counter()
        self._in_flight = 0
        self._exhausted = 0
        self._durations: deque[float] = deque(maxlen=RECENT_BLOCKS)
        self._halted = False
        self._abandoned = False
        open_now = calendar.at(now)
        self._last_date = max(last_planned_date, open_now.date if open_now else 0) + makeup_dates
        self._restore(blocks, restored, now)

    def _restore(self, blocks: Iterable[Block], restored: SweepState, now: float) -> None:
        for block in blocks:
            before = restored.blocks.get(block.block_id)
            if before is None:
                self._runs[block.block_id] = 1
                self._pending[block.bucket, block.date].append(block)
            elif len(before.ended) < len(block.trials):
                self._continue(block, before, now)

    def _continue(self, block: Block, before: RunState, now: float) -> None:
        """Go on with a block that was begun, or run it again whole when its occasion is over."""
        occasion = self._calendar.at(before.began) or self._calendar.occasion(block.bucket, block.date)
        active = _Active(block, before.run, occasion, before.began, set(before.ended), late=True)
        if now < active.deadline:
            self._begin(active)
        else:
            self._runs[block.block_id] = before.run + 1
            self._pending[block.bucket, block.date].append(block)

    @property
    def in_flight(self) -> int:
        """Attempts launched and not ended."""
        return self._in_flight

    @property
    def missing(self) -> int:
        """Blocks without a complete run so far."""
        return len(self._active) + self._exhausted + sum(map(len, self._pending.values()))

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and say what to do; the caller launches, sleeps or stops accordingly."""
        if isinstance(event, Ended):
            self._ended(event, now)
        elif isinstance(event, Halt):
            self._halted = True
            self._abandoned = self._abandoned or not event.finish_blocks
        elif isinstance(event, Probed):
            self._probed()
        if self._probing is not None:
            return []
        instructions: list[Instruction] = []
        while self._in_flight < self._capacity:
            launch = self._next(now)
            if launch is None:
                break
            instructions.append(launch)
        if self._in_flight == 0:
            instructions.append(self._probe(now) or self._idle(now))
        elif self._in_flight < self._capacity:
            opening = self._calendar.next_opening(now)
            if opening is not None:
                instructions.append(Sleep(opening))
        return instructions

    def _idle(self, now: float) -> Sleep | Finish:
        """Nothing runs and nothing can be launched now: wait for a window, or be done."""
        waiting = any(self._pending.values())
        opening = self._calendar.next_opening(now)
        if self._halted or not waiting or opening is None:
            return Finish(self.missing)
        coming = self._calendar.at(opening)
        if coming is not None and coming.date > self._last_date:
            return Finish(self.missing)
        return Sleep(opening)

    def _probe(self, now: float) -> Probe | None:
        """The round of probes that is due while nothing runs and nothing can be launched."""
        if self._probes is None or self._abandoned:
            return None
        held, last = self._held(now), self._last_begun
        if held is not None and (self._ready or self._waiting(now)):
            self._probing = round_of(held, BEFORE)
        elif last is not None and self._probes.after_due(last):
            self._probing = round_of(last, AFTER)
        return Probe(self._probing) if self._probing is not None else None

    def _held(self, now: float) -> Occasion | None:
        """The occasion that is open and whose attempts wait for its first probes."""
        occasion = self._calendar.at(now)
        return occasion if occasion is not None and self._probes_first(occasion) else None

    def _probes_first(self, occasion: Occasion) -> bool:
        return self._probes is not None and self._probes.before_due(occasion, self._p95())

    def _probed(self) -> None:
        assert self._probes is not None  # noqa: S101 - only an answer to our own instruction comes here
        assert self._probing is not None  # noqa: S101 - as above
        self._probes.note(self._probing)
        if self._probing.moment == AFTER:
            self._last_begun = None
        self._probing = None

    def _next(self, now: float) -> Launch | None:
        if self._abandoned:
            return None
        held = self._held(now)
        while not self._ready:
            block = self._release(now) if held is None else None
            if block is None:
                return None
            occasion = self._calendar.at(now)
            assert occasion is not None  # noqa: S101 - a block is released only inside a window
            self._begin(_Active(block, self._runs[block.block_id], occasion, now, set()))
        if held is not None and self._ready[0][0].occasion == held:
            return None
        active, trial = self._ready.popleft()
        self._in_flight += 1
        self._attempts[trial.trial_id] += 1
        return Launch(active.block, trial, self._attempts[trial.trial_id], active.run)

    def _begin(self, active: _Active) -> None:
        self._active[active.block.block_id] = active
        self._last_begun = active.occasion
        for trial in active.block.trials:
            self._block_of[trial.trial_id] = active.block.block_id
            if trial.trial_id not in active.ended:
                self._ready.append((active, trial))

    def _release(self, now: float) -> Block | None:
        """The next block that may begin now."""
        waiting = self._waiting(now)
        return waiting.popleft() if waiting else None

    def _waiting(self, now: float) -> deque[Block] | None:
        """Blocks that may begin now, after probes that are due: this occasion's first, then what its bucket missed."""
        occasion = self._calendar.at(now)
        if self._halted or occasion is None or occasion.date > self._last_date:
            return None
        probing = self._probes.round_s if self._probes is not None and self._probes_first(occasion) else 0.0
        if now + probing + self._p95() >= occasion.closes:
            return None
        for date in (occasion.date, *range(1, occasion.date)):
            waiting = self._pending.get((occasion.bucket, date))
            if waiting:
                return waiting
        return None

    def _p95(self) -> float:
        """95th percentile of recent block durations (nearest rank); 0 while none is known."""
        known = sorted(self._durations)
        return known[-(-95 * len(known) // 100) - 1] if known else 0.0

    def _ended(self, event: Ended, now: float) -> None:
        self._in_flight -= 1
        active = self._active[self._block_of[event.trial_id]]
        if event.cancelled:
            active.missing.add(event.trial_id)
        elif event.cause is None:
            active.ended.add(event.trial_id)
        else:
            self._platform(active, event.trial_id, event.cause, now)
        if active.settled:
            self._settle(active, now)

    def _platform(self, active: _Active, trial_id: str, cause: str, now: float) -> None:
        key = (trial_id, cause)
        self._retries[key] += 1
        if self._retries[key] <= self._caps.get(cause, 0) and now < active.deadline:
            trial = next(t for t in active.block.trials if t.trial_id == trial_id)
            self._ready.appendleft((active, trial))
        else:
            active.missing.add(trial_id)

    def _settle(self, active: _Active, now: float) -> None:
        block = active.block
        del self._active[block.block_id]
        for trial in block.trials:
            self._block_of.pop(trial.trial_id, None)
        if not active.missing:
            if not active.late:
                self._durations.append(now - active.began)
        elif now >= active.deadline:
            self._runs[block.block_id] = active.run + 1
            self._pending[block.bucket, block.date].append(block)
        else:
            self._exhausted += 1
