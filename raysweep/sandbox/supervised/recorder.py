"""Bookkeeping of a container's phases: one cgroup without leaves, marks never reset, ancestors out of sight (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.cgroup.kmsg import Kill
from raysweep.sandbox.cgroup.reading import Reading
from raysweep.sandbox.cgroup.recorder import PhaseRecorder
from raysweep.sandbox.supervised.samples import Row, row_before_kill


class ContainerRecorder(PhaseRecorder):
    """A PhaseRecorder with the supervisor's rows. `ready`: boottime from which samples count.

    reserved: bytes that the node keeps from all pods (MemTotal minus allocatable), not available to the task.
    """

    def __init__(self, version: int, ready: float, reserved: int = 0) -> None:
        super().__init__(version)
        self.ready = ready
        self.reserved = reserved
        self.rows: list[Row] = []
        self.ended = False
        self.oom_killed: bool | None = None
        self._rows_before = 0

    def begin(self, phase: str, reading: Reading, t: float, kills: int) -> None:
        """Start `phase`; the last row of the one before stays as what was before its first kill."""
        super().begin(phase, reading, t, kills)
        self._rows_before = max(0, len(self.rows) - 1)

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Add rows newer than those seen before."""
        newest = self.rows[-1].boottime if self.rows else float("-inf")
        new = [row for row in rows if row.boottime > newest]
        self.rows += new
        self.add([row.sample(self.ready) for row in new if row.boottime >= self.ready])

    def note_end(self, *, oom_killed: bool | None) -> None:
        """The container ended by itself: its last row is the last reading, the platform's word that of a kill."""
        self.ended, self.oom_killed = True, oom_killed
        if self.rows:
            row = self.rows[-1]
            last_values = {name: getattr(row, name) for name in _IN_BOTH if getattr(row, name) is not None}
            self.last = replace(self.last, **last_values)

    def counters(self, kills: Sequence[Kill]) -> PhaseCounters:
        """Counters of the phase under way; see PhaseCounters for what a container cannot know."""
        counted = super().counters(kills)
        if self.ended:
            counted = self._of_ended(counted, kills)
        rows = self.rows[self._rows_before :]
        before = rows[-1] if counted.oom_group and rows else self._before_kill(rows)
        changes: dict[str, int | bool | None] = {
            "mem_peak_bytes": self._peak(rose_only=True),
            "limit_peak_bytes": self._peak(rose_only=False) if self.version == 1 else None,
            "ancestor_full": self._ancestor_full(counted),
        }
        if rows:
            changes["unreclaimable_last_bytes"] = (before or rows[-1]).unreclaimable
        if before is not None and before.mem_available is not None:
            changes["ancestor_room_bytes"] = max(0, before.mem_available - self.reserved)
        return replace(counted, **changes)  # type: ignore[arg-type]

    def _of_ended(self, counted: PhaseCounters, kills: Sequence[Kill]) -> PhaseCounters:
        if self.oom_killed:
            own = kills[-1].own if len(kills) > self._kills_before else None
            count = max(1, counted.oom_kills or 0)
            own_ooms = counted.own_limit_ooms or None  # 0 only says that the last reading came before the kill
            return replace(counted, oom_kills=count, own_limit_ooms=own_ooms, oom_memcg_own=own, oom_group=True)
        if self.oom_killed is None and not counted.oom_kills:  # the last row is older than the end
            return replace(counted, oom_kills=None, own_limit_ooms=None)
        return counted

    def _before_kill(self, rows: Sequence[Row]) -> Row | None:
        return row_before_kill(rows, self.first.oom_kills, self.last.oom_kills)

    def _peak(self, *, rose_only: bool) -> int | None:
        """The kernel's life-time mark where it rose in this phase, else the largest memory sampled in it.

        Not rose_only: also where the limit was hit in this phase, or no failcnt tells whether it was.
        """
        mark, before = self.last.task_peak, self.first.task_peak
        rose = mark is not None and (before is None or mark > before)
        fails, fails_before = self.last.own_fails, self.first.own_fails
        hit = fails is None or fails_before is None or fails > fails_before
        if rose or (not rose_only and hit):
            return mark
        sampled = [sample.memory for sample in self.phase_samples if sample.memory is not None]
        return max(sampled, default=None)

    def _ancestor_full(self, counted: PhaseCounters) -> bool | None:
        """True when there were kills but the own limit never was in the way."""
        fails, before = self.last.own_fails, self.first.own_fails
        never_hit = fails is not None and before is not None and fails == before
        return True if counted.oom_kills and never_hit and not self.ended else None


_IN_BOTH = ("oom_kills", "cpu_usec", "throttled_us", "nr_throttled", "memory", "unreclaimable", "anon", "pids")
