"""Which attempt to launch next: an I/O-free state machine, `handle(event, now) -> instructions`.

The unit of release is a block: all its arms, in one occasion, never half of it. A block is released only while its
window is open and its 95th-percentile duration still fits. A platform cause is retried while the occasion lasts, after
a wait where it came fast (backoff.py), within a cap per block run; where the occasion or the cap ended first, the whole
block runs again (next block run) in the next window of its bucket, within a cap on block runs. Outcomes of the arm are
never retried. All of it is known from the ledger: a queue that is restored counts on.

Enforcement probes (a ProbeBook says which) run while nothing else does: before the first block of an occasion begins,
and after its last one ended. Where the next occasion has opened by then its first round stands for both.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from raysweep.plan.model import Arm, Block, PlannedTrial
from raysweep.record.probes import AFTER, BEFORE, Round
from raysweep.record.resume import RECENT, RunState, SweepState
from raysweep.schedule.backoff import AT_ONCE, Backoff, WaitingRetries
from raysweep.schedule.blockrun import BlockRun
from raysweep.schedule.calendar import Calendar, Occasion
from raysweep.schedule.messages import (
    Ended,
    Event,
    Finish,
    Halt,
    Instruction,
    Launch,
    Probe,
    Probed,
    Sleep,
    Stepped,
)
from raysweep.schedule.probing import ProbeBook, round_of
from raysweep.schedule.ready import ReadyTrials
from raysweep.schedule.waiting import Waiting

RERUNS = 2
"""Further runs of a block, where nobody says how many."""


class Queue:
    """The state of a sweep's execution. `capacity`: trial slots; `caps`: retries by platform cause, in one block run.

    reruns: further runs of a block at most. probes: which rounds of probes there are; None for none. slots: where
    concurrency is swept, trials in flight while each arm runs. backoff: waits before retries; none by default.
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        calendar: Calendar,
        *,
        capacity: int,
        caps: Mapping[str, int],
        now: float,
        reruns: int = RERUNS,
        last_planned_date: int = 1,
        makeup_dates: int = 3,
        restored: SweepState | None = None,
        probes: ProbeBook | None = None,
        slots: Mapping[Arm, int] | None = None,
        backoff: Backoff = AT_ONCE,
    ) -> None:
        restored = restored or SweepState()
        self._probes = probes
        self._probing: Round | None = None
        self._last_begun: Occasion | None = None
        self._calendar = calendar
        self._capacity = capacity
        self._caps = caps
        self._reruns = reruns
        self._attempts: Counter[str] = Counter(restored.attempts)
        self._waiting = Waiting()
        self._ready = ReadyTrials(capacity, slots)
        self._active: dict[str, BlockRun] = {}
        self._block_of: dict[str, str] = {}
        self._in_flight = 0
        self._backoff, self._retries = backoff, WaitingRetries()
        self._launched: dict[str, float] = {}
        self._given_up = 0
        self._durations: deque[float] = deque(restored.durations, maxlen=RECENT)
        self._halted = False
        self._abandoned = False
        opening = calendar.next_opening(now)
        coming = calendar.at(now) or (calendar.at(opening) if opening is not None else None)
        self._last_date = max(last_planned_date, coming.date if coming else 0) + makeup_dates
        self._restore(blocks, restored, now)

    def _restore(self, blocks: Iterable[Block], restored: SweepState, now: float) -> None:
        for block in blocks:
            if block.block_id in restored.complete:
                continue
            if (before := restored.blocks.get(block.block_id)) is None:
                self._waiting.add(block)
            else:
                self._continue(block, before, now)

    def _continue(self, block: Block, before: RunState, now: float) -> None:
        """Go on with a block that was begun, or run it again whole when its occasion or its caps are over."""
        occasion = self._occasion_of(block, before.began)
        lost = Counter(before.lost)
        run = BlockRun(block, before.run, occasion, before.began, set(before.ended), lost, late=True)
        run.give_up(self._caps)
        if now < run.deadline and not run.settled:
            self._begin(run)
        else:
            # Where no window ever closes, each start of a driver is the next chance: somebody says it is worth one.
            self._run_again(run, now if math.isinf(occasion.closes) else occasion.closes)

    def _occasion_of(self, block: Block, began: float) -> Occasion:
        """The occasion in which a run of the block began whose first attempt known was queued at `began`.

        That may have been after the window closed, where earlier attempts were never sealed.
        """
        occasion = self._calendar.at(began)
        if occasion is not None and occasion.bucket == block.bucket:
            return occasion
        occasion = self._calendar.occasion(block.bucket, block.date)
        while occasion.opens < (later := self._calendar.occasion(block.bucket, occasion.date + 1)).opens <= began:
            occasion = later
        return occasion

    @property
    def in_flight(self) -> int:
        """Attempts launched and not ended."""
        return self._in_flight

    @property
    def waiting_retries(self) -> int:
        """Trials that wait for their next attempt after a platform failure that came fast."""
        return len(self._retries)

    @property
    def missing(self) -> int:
        """Blocks without a complete run so far."""
        return len(self._active) + self._given_up + len(self._waiting)

    @property
    def for_good(self) -> int:
        """How many of the missing have used up their runs: no driver begins them again."""
        return self._given_up

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and say what to do; the caller launches, sleeps or stops accordingly."""
        self._heed(event, now)
        if self._probing is not None:
            return []
        while (due := self._retries.take_due(now)) is not None:
            self._ready.again(*due, at_once=True)
        instructions: list[Instruction] = []
        while self._in_flight < self._capacity:
            launch = self._next(now)
            if launch is None:
                break
            instructions.append(launch)
        if self._in_flight == 0:
            instructions.append(self._probe(now) or self._idle(now))
        elif self._in_flight < self._capacity:
            moments = (self._calendar.next_opening(now), self._retries.next_due())
            coming = min((m for m in moments if m is not None), default=None)
            if coming is not None:
                instructions.append(Sleep(coming))
        return instructions

    def _heed(self, event: Event, now: float) -> None:
        if isinstance(event, Ended):
            self._ended(event, now)
        elif isinstance(event, Halt):
            self._halted = True
            self._abandoned = self._abandoned or not event.finish_blocks
        elif isinstance(event, Probed):
            self._probed()
        elif isinstance(event, Stepped):
            for run in self._active.values():
                run.began += event.by
            self._retries.shift(event.by)
            self._launched = {trial: at + event.by for trial, at in self._launched.items()}

    def _idle(self, now: float) -> Sleep | Finish:
        """Nothing runs and nothing can be launched now: wait for a window, or be done."""
        retry = self._retries.next_due()
        if retry is not None and not self._abandoned:
            return Sleep(retry)
        opening = self._calendar.next_opening(now)
        if self._halted or not self._waiting or opening is None:
            return Finish(self.missing)
        coming = self._calendar.at(opening)
        if coming is not None and coming.date > self._last_date:
            return Finish(self.missing)
        return Sleep(opening)

    def _probe(self, now: float) -> Probe | None:
        """The round of probes that is due while nothing runs and nothing can be launched."""
        if self._probes is None or self._abandoned or self._retries:
            return None
        held, last = self._held(now), self._last_begun
        if held is not None and (self._ready or self._releasable(now) is not None):
            self._probing = round_of(held, BEFORE)
        elif last is not None and self._probes.after_due(last):
            self._probing = round_of(last, AFTER)
        return Probe(self._probing) if self._probing is not None else None

    def _held(self, now: float) -> Occasion | None:
        """The occasion that is open and whose attempts wait for its first probes."""
        occasion = self._calendar.at(now)
        return occasion if occasion is not None and self._probes_first(occasion) else None

    def _probes_first(self, occasion: Occasion) -> bool:
        return self._probes is not None and self._probes.before_due(occasion, self._p95(occasion))

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
        occasion, held = self._calendar.at(now), self._held(now)
        while True:
            wanted = held is None and self._ready.wants_block(self._in_flight, occasion)
            if wanted and self._release(now):
                continue
            head = self._ready.head(self._in_flight)
            if head is None:
                return None
            run, trial = head
            if now >= run.deadline:
                self._ready.pop()
                self._miss(run, trial.trial_id, now)
                continue
            if held is not None and run.occasion == held:
                return None
            self._ready.pop()
            self._in_flight += 1
            self._attempts[trial.trial_id] += 1
            self._launched[trial.trial_id] = now
            return Launch(run.block, trial, self._attempts[trial.trial_id], run.number)

    def _begin(self, run: BlockRun) -> None:
        self._active[run.block.block_id] = run
        self._last_begun = run.occasion
        self._block_of.update((t.trial_id, run.block.block_id) for t in run.block.trials)
        self._ready.begin(run)

    def _release(self, now: float) -> bool:
        """Begin the next block that may begin now, if there is one."""
        occasion = self._releasable(now)
        waiting = self._waiting.take(occasion.bucket, occasion.date, now) if occasion is not None else None
        if occasion is None or waiting is None:
            return False
        self._begin(BlockRun(*waiting, occasion, now))
        return True

    def _releasable(self, now: float) -> Occasion | None:
        """The open occasion, if a block waits that may begin now, after probes that are due."""
        occasion = self._calendar.at(now)
        if self._halted or occasion is None or occasion.date > self._last_date:
            return None
        probing = self._probes.round_s if self._probes is not None and self._probes_first(occasion) else 0.0
        if now + probing + self._p95(occasion) >= occasion.closes:
            return None
        return occasion if self._waiting.any(occasion.bucket, occasion.date, now) else None

    def _p95(self, occasion: Occasion) -> float:
        """95th percentile of recent block durations (nearest rank); 0 while none is known.

        One that is longer than the occasion is no guide to what fits: nothing would ever begin in such a window again.
        """
        known = sorted(d for d in self._durations if d <= occasion.length)
        return known[-(-95 * len(known) // 100) - 1] if known else 0.0

    def _ended(self, event: Ended, now: float) -> None:
        self._in_flight -= 1
        run = self._active[self._block_of[event.trial_id]]
        lasted = now - self._launched.pop(event.trial_id)
        if event.cancelled:
            self._ready.again(run, _trial(run, event.trial_id), at_once=False)
        elif event.cause is None:
            run.ended.add(event.trial_id)
            self._settle(run, now)
        elif run.lose(event.trial_id, event.cause, self._caps) and now < run.deadline:
            self._retry(run, _trial(run, event.trial_id), lasted, now)
        else:
            self._miss(run, event.trial_id, now)

    def _retry(self, run: BlockRun, trial: PlannedTrial, lasted: float, now: float) -> None:
        """Another attempt in this run: after a wait where it failed fast, and the occasion lasts longer than that."""
        failures = sum(n for (trial_id, _), n in run.lost.items() if trial_id == trial.trial_id)
        due = now + self._backoff.delay_s(trial.seed, failures, lasted)
        if now < due < run.deadline:
            self._retries.add(due, run, trial)
        else:
            self._ready.again(run, trial, at_once=True)

    def _miss(self, run: BlockRun, trial_id: str, now: float) -> None:
        """The trial gets no further attempt in this run."""
        run.missing.add(trial_id)
        self._settle(run, now)

    def _settle(self, run: BlockRun, now: float) -> None:
        """Once nothing of the run is left to do: it is complete, or the block waits for another one."""
        if not run.settled:
            return
        del self._active[run.block.block_id]
        for trial in run.block.trials:
            self._block_of.pop(trial.trial_id, None)
        if run.missing:
            self._run_again(run, run.occasion.closes)
            return
        self._forget(run.block)
        if not run.late:
            self._durations.append(now - run.began)

    def _run_again(self, run: BlockRun, after: float) -> None:
        """The whole block once more from `after` on, or never, when its runs are used up."""
        if run.number > self._reruns:
            self._given_up += 1
            self._forget(run.block)
        else:
            self._waiting.again(run.block, run.number + 1, after)

    def _forget(self, block: Block) -> None:
        """Nothing of the block is run again."""
        for trial in block.trials:
            self._attempts.pop(trial.trial_id, None)


def _trial(run: BlockRun, trial_id: str) -> PlannedTrial:
    return next(t for t in run.block.trials if t.trial_id == trial_id)
