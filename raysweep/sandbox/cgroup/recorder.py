"""Bookkeeping of a sandbox's phases: readings in, samples and counters per phase out (no I/O)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raysweep.record.evidence import PhaseCounters, Sample
from raysweep.sandbox.cgroup.kmsg import Kill
from raysweep.sandbox.cgroup.meter import phase_counters, sample_of
from raysweep.sandbox.cgroup.reading import Reading


class PhaseRecorder:
    """Counters of closed phases and the readings of the one under way."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.phase = "setup"
        self.samples: list[Sample] = []
        """Sorted by time."""
        self.closed: dict[str, PhaseCounters] = {}
        self.disk_full: bool | None = None
        self.first = Reading()
        self.last = Reading()
        self._kills_before = 0
        self._samples_before = 0

    def begin(self, phase: str, reading: Reading, t: float, kills: int) -> None:
        """Start `phase` with its first reading; `kills` were logged before it."""
        self.phase, self.first, self.last, self._kills_before = phase, reading, reading, kills
        self._samples_before = len(self.samples)
        self.disk_full = None
        self.samples.append(sample_of(reading, t))

    def note(self, reading: Reading, t: float) -> None:
        """Add a reading of the phase under way."""
        self.last = reading
        self.samples.append(sample_of(reading, t))

    @property
    def phase_samples(self) -> list[Sample]:
        """Samples of the phase under way."""
        return self.samples[self._samples_before :]

    def add(self, samples: Sequence[Sample]) -> None:
        """Add samples that were taken elsewhere, none of them before the phase under way."""
        self.samples.extend(samples)
        self.samples[self._samples_before :] = sorted(self.phase_samples, key=lambda s: s.t)

    def note_disk(self, full: bool | None) -> None:
        """Add a look at the disk bound: once found full, the phase had it full."""
        if full is not None:
            self.disk_full = bool(self.disk_full) or full

    def counters(self, kills: Sequence[Kill]) -> PhaseCounters:
        """Counters of the phase under way up to the last reading; `kills` are all that were logged."""
        mine = kills[self._kills_before :]
        counters = phase_counters(
            self.phase,
            self.first,
            self.last,
            self.phase_samples,
            version=self.version,
            logged=[kill.own for kill in mine],
            disk_full=self.disk_full,
        )
        # What the kernel saw of a victim as it killed it is a sample too, often the only one of a short spike.
        seen = [counters.mem_anon_peak_bytes, *(kill.anon_bytes for kill in mine)]
        peak = max((value for value in seen if value is not None), default=None)
        return replace(counters, mem_anon_peak_bytes=peak)

    def close(self, kills: Sequence[Kill]) -> None:
        """The phase under way is over."""
        self.closed[self.phase] = self.counters(kills)
