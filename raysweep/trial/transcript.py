"""What was done to a sandbox, step by step, as it happens: a wrapper that any sandbox can wear."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raysweep.clock import Clock
from raysweep.record.evidence import PhaseCounters
from raysweep.sandbox.protocol import ARCHIVE_LIMIT, Admitted, ExecResult, FinalFacts, Sandbox

KEEP_OUTPUT = 1 << 16
"""Bytes of each stream that a transcript keeps of one command."""

Listener = Callable[[dict[str, Any]], None]
"""Told every step: {"t": seconds since the start, "step": name, ...}."""


@dataclass(slots=True)
class Transcript:
    """A sandbox that tells what is done to it. `steps` is what was told."""

    inner: Sandbox
    clock: Clock
    listen: Listener = lambda _: None
    steps: list[dict[str, Any]] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()

    def _tell(self, step: str, **facts: Any) -> None:
        told = {"t": round(self.clock.monotonic() - self._began, 3), "step": step, **facts}
        self.steps.append(told)
        self.listen(told)

    def jsonl(self) -> bytes:
        """All steps, one JSON object a line."""
        return "".join(json.dumps(step, default=str) + "\n" for step in self.steps).encode()

    async def start(self) -> Admitted:
        """As Sandbox.start."""
        admitted = await self.inner.start()
        self._tell("start", limit=str(admitted.limit), request=str(admitted.request))
        return admitted

    async def begin_phase(self, phase: str) -> None:
        """As Sandbox.begin_phase."""
        await self.inner.begin_phase(phase)
        self._tell("phase", phase=phase)

    async def exec(
        self,
        command_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        output_limit: int = 1 << 20,
    ) -> ExecResult:
        """As Sandbox.exec."""
        self._tell("exec", command=command_id, argv=list(argv))
        result = await self.inner.exec(
            command_id, argv, timeout_s=timeout_s, env=env, cwd=cwd, output_limit=output_limit
        )
        facts = result.facts
        self._tell(
            "ended",
            command=command_id,
            exit=facts.exit,
            signal=facts.signal,
            timed_out=facts.timed_out,
            seconds=facts.duration_s,
            stdout=result.stdout[-KEEP_OUTPUT:].decode(errors="replace"),
            stderr=result.stderr[-KEEP_OUTPUT:].decode(errors="replace"),
        )
        return result

    async def put(self, archive: bytes, dest: str) -> None:
        """As Sandbox.put."""
        await self.inner.put(archive, dest)
        self._tell("put", dest=dest, bytes=len(archive))

    async def get(self, path: str, *, limit: int = ARCHIVE_LIMIT) -> bytes:
        """As Sandbox.get."""
        archive = await self.inner.get(path, limit=limit)
        self._tell("get", path=path, bytes=len(archive))
        return archive

    async def counters(self) -> PhaseCounters:
        """As Sandbox.counters."""
        return await self.inner.counters()

    async def stop(self) -> FinalFacts:
        """As Sandbox.stop."""
        final_facts = await self.inner.stop()
        self._tell("stop", died_in=final_facts.died_in)
        return final_facts
