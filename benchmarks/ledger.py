"""The ledger at scale: sealing, merging and reading again on a local disk, and what reads a bucket quickest.

1. Rows sealed a second with merging beside, the number of files that is left, and the time to read all of them, beside
   the same rows as plain 100-row segments that were never merged.
2. Reading one 100-row segment: from a file object with threads (as pyarrow does by default) and from a buffer without.
3. Optional, --s3: 300 segments of 1,000 rows from a bucket, by obstore and by pyarrow.fs, on a SeaweedFS of loopback.

    python benchmarks/ledger.py [--rows 1000000] [--plain 200000] [--s3] > benchmarks/results/ledger.txt
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.clock import SystemClock
from raysweep.record import compact
from raysweep.record.ledger import LedgerWriter
from raysweep.record.lock import LocalLock
from raysweep.record.reader import read_attempts
from raysweep.record.schema import Row, to_table
from raysweep.record.segments import counting, segment_bytes
from raysweep.record.store import LocalStore


def row(n: int) -> Row:
    """One attempt of a simulated sweep, with about as many columns filled as a real one has."""
    t = 1.7e9 + n
    times = ("queued", "created", "ready", "agent_start", "agent_end", "verifier_end", "stopped")
    return {
        "run_id": "run-bench", "plan_id": "plan", "block_id": f"block-{n // 3}", "trial_id": f"trial-{n}",
        "attempt_id": f"trial-{n}@1", "attempt": 1, "block_run": 1, "position": n % 3, "task": f"task-{n % 89}",
        "task_digest": "0" * 64, "model": "m", "agent": "oracle", "band": ("1x", "3x", "uncapped")[n % 3],
        "repeat": n % 7, "bucket": f"b{n % 8}", "actual_bucket": f"b{n % 8}", "occasion": "2026-02-05",
        "actual_occasion": "2026-02-05", "crossed_boundary": False, "outcome": "scored", "phase": "verifier",
        "reward": float(n % 2), "agent_exit": 0, "verifier_exit": 0, "oom_kills": 0, "mem_peak_bytes": 1 << 26,
        "cpu_peak_1s": 900.0 + n % 100, "seed": n, "schema_version": 1, "node": {"cpus": "8", "kernel": "6.1"},
        **{f"t_{name}": t + k for k, name in enumerate(times)},
    }  # fmt: skip


def sealed(folder: Path, rows: int, *, merging: bool) -> float:
    """Seconds to append and seal so many rows."""
    store, clock = LocalStore(folder), SystemClock()
    lock = LocalLock(folder, store, clock)
    lock.acquire({})
    ledger = LedgerWriter(store, lock, clock)
    if not merging:
        ledger._compactor.step = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 - what is compared
    began = time.perf_counter()
    for n in range(rows):
        ledger.append(row(n))
    ledger.seal()
    ledger.close()
    wall = time.perf_counter() - began
    lock.release()
    return wall


def local(rows: int, *, merging: bool) -> None:
    """One line of part 1."""
    folder = Path(tempfile.mkdtemp(prefix="raysweep-bench-", dir="/var/tmp"))
    wall = sealed(folder, rows, merging=merging)
    store = LocalStore(folder)
    files = counting(store)
    began = time.perf_counter()
    table = read_attempts(store)
    read = time.perf_counter() - began
    assert len(table) == rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"   {'merged' if merging else 'plain '} {rows:8d} rows: sealed in {wall:6.1f} s ({rows / wall:7.0f}/s), "
        f"{len(files):5d} files count, {len(store.names('ledger')):5d} are there, read in {read:5.1f} s, "
        f"{table.nbytes / rows:.0f} B a row, peak {peak:.0f} MiB",
        flush=True,
    )
    shutil.rmtree(folder)


def milliseconds(call: Callable[[], Any], times: int = 200) -> float:
    """Median of so many calls."""
    spans = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        spans.append(time.perf_counter() - began)
    return 1e3 * statistics.median(spans)


def one_segment() -> None:
    """Part 2."""
    data = segment_bytes(to_table([row(n) for n in range(100)]))
    print(f"2. one segment of 100 rows, {len(data)} bytes; milliseconds, median")
    calls = {
        "BytesIO, threads": lambda: pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read(),
        "BufferReader, no threads": lambda: pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(
            use_threads=False
        ),
    }
    for name, call in calls.items():
        print(f"   {name:26s} {milliseconds(call):.2f}")


def from_bucket() -> None:
    """Part 3."""
    import pyarrow.fs as pafs

    from raysweep.record.objectstore import ObjectStore

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.s3_server import BUCKET, Server  # type: ignore[import-not-found]

    server = Server(Path(tempfile.mkdtemp(prefix="raysweep-bench-")))
    server.start()
    os.environ |= server.environment
    store = ObjectStore(f"s3://{BUCKET}/bench")
    data = segment_bytes(to_table([row(n) for n in range(1000)]))
    names = [f"ledger/{n:04d}" for n in range(300)]
    for name in names:
        store.put_new(name, data)
    files = pafs.S3FileSystem(
        access_key="any",
        secret_key="any",  # noqa: S106 - a server of our own
        endpoint_override=server.url.removeprefix("http://"),
        scheme="http",
    )

    def by_arrow(name: str) -> int:
        with files.open_input_stream(f"{BUCKET}/bench/{name}") as stream:
            return len(stream.read())

    print(f"3. 300 objects of {len(data)} bytes from a bucket; seconds")
    for round_ in (1, 2, 3):
        for threads in (1, 8):
            for label, call in (("obstore", lambda n: len(store.get(n))), ("pyarrow.fs", by_arrow)):
                with ThreadPoolExecutor(threads) as pool:
                    began = time.perf_counter()
                    assert sum(pool.map(call, names)) == 300 * len(data)
                    wall = time.perf_counter() - began
                print(f"   round {round_}, {threads} threads: {label:10s} {wall:.2f}")
    server.kill()
    shutil.rmtree(server.folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--plain", type=int, default=200_000)
    parser.add_argument("--s3", action="store_true")
    options = parser.parse_args()
    print(f"# python {platform.python_version()}, pyarrow {pa.__version__}, {os.cpu_count()} cpus, {platform.system()}")
    print(f"# {' '.join(sys.argv)}; fan {compact.FAN}, {compact.MERGED_ROWS} rows, grace {compact.GRACE_S:.0f} s")
    print("1. a ledger of one writer")
    local(options.plain, merging=False)
    local(options.plain, merging=True)
    if options.rows > options.plain:
        local(options.rows, merging=True)
    one_segment()
    if options.s3:
        from_bucket()


if __name__ == "__main__":
    main()
