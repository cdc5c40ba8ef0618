"""The files of an attempt's trace: what they hold beside the transcript, and writing them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from raysweep.gateway.journal import NAME as JOURNAL
from raysweep.gateway.table import NAME as CALLS
from raysweep.record.evidence import Evidence, Verdict
from raysweep.record.place import RunPath, store_at
from raysweep.sandbox.protocol import FinalFacts


def trace_files(evidence: Evidence, verdict: Verdict, final_facts: FinalFacts) -> dict[str, bytes]:
    """Samples of the counters, and why the attempt was judged as it was."""
    samples = "".join(json.dumps(asdict(s)) + "\n" for s in final_facts.samples)
    judged = {"verdict": asdict(verdict), "evidence": asdict(evidence)}
    return {"samples.jsonl": samples.encode(), "evidence.json": json.dumps(judged, indent=1).encode()}


async def write_traces(folder: RunPath, traces: dict[str, bytes]) -> None:
    """Write the files of one attempt; called by the runner's shell before the row is handed on."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in traces.items():
            (folder / name).write_bytes(data)
        if CALLS in traces:
            (folder / JOURNAL).unlink(missing_ok=True)
        return
    store = store_at(folder)
    for name, data in traces.items():
        await asyncio.to_thread(store.replace, name, data)
