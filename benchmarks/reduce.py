"""The reducer's front end beside a bare pyarrow group-by, in one run; prints ratios and the figures behind them.

1. Ledger to cube (dictionary codes, blocks x arms, where blocks ran, what was not started) for 1e5, 3e5 and 1e6
   attempts, beside the mean reward by task x model x band x bucket of the same table. Rows stand as they would end with
   64 trials in flight, 2 % were tried twice. Goals at 1e6: at most 0.3 s, at most twice the group-by; medians of rounds
   that take turns. Beside it a group-by of as many cells as the cube has (block x arm). Seconds of the processor are
   printed too: on a machine with other work they are what can be compared.
2. Peak memory of the same call, NumPy's and Arrow's, and what the cube keeps; then the same cells with three attempts
   each. Goal: linear in cells, whatever the columns.
3. Where time goes from segments on disk to the whole analysis.

    python benchmarks/reduce.py [--rounds 21] [--rows 1000000] > benchmarks/results/reduce.txt
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import os
import platform
import pstats
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.record.reader import read_attempts, with_is_final
from raysweep.record.store import LocalStore
from raysweep.stats import analyse, simulate
from raysweep.stats.cube import Cube, build_cube, with_labels
from raysweep.stats.design import Design

PER_REPEAT = 89 * 6 * 8 * 14
IN_FLIGHT = 64
SEGMENT = 100


class Ledger:
    """A simulated study of about `rows` attempts: attempts (without is_final), planned trials, design."""

    def __init__(self, rows: int, again: float) -> None:
        buckets = tuple(f"h{3 * b:02d}" for b in range(8))
        truth = replace(simulate.STUDY, repeats=max(1, round(rows / PER_REPEAT)), buckets=buckets, dates=14)
        rng = np.random.default_rng(20260205)
        table, self.planned = simulate.tables_of(truth, simulate.draw(truth, rng), rng)
        table = table.drop_columns(["is_final"])
        self.cells = len(table)
        lost = table
        more = []
        while again > 0:
            lost = _retried(lost, np.flatnonzero(rng.random(len(lost)) < min(1.0, again)))
            again = again - 1.0
            more.append(lost)
        table = pa.concat_tables([table, *more])
        first = np.concatenate([np.arange(self.cells), *(np.arange(len(m)) for m in more)])
        order = np.argsort(first + rng.random(len(table)) * IN_FLIGHT, kind="stable")
        self.table = table.take(pa.array(order)).combine_chunks()
        self.design: Design = truth.design()


def _retried(table: pa.Table, rows: np.ndarray[Any, Any]) -> pa.Table:
    """Those rows as further attempts of their trials."""
    again = table.take(pa.array(rows))
    number = pa.array(again["attempt"].to_numpy() + 1)
    ids = pa.array([f"{i}+" for i in again["attempt_id"].to_pylist()])
    for name, column in (("attempt", number), ("attempt_id", ids)):
        again = again.set_column(again.schema.get_field_index(name), name, column)
    return again


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - busy


def cube_of(ledger: Ledger, table: pa.Table) -> Cube:
    return build_cube(with_labels(table), with_labels(ledger.planned), ledger.design)


def bare(table: pa.Table, keys: list[str]) -> pa.Table:
    return table.group_by(keys).aggregate([("reward", "mean")])


def speed(ledger: Ledger, table: pa.Table, rounds: int) -> None:
    """Part 1 for one ledger."""
    by_bucket, by_block = ["task", "model", "band", "bucket"], ["block_id", "model", "band"]
    walls: list[tuple[float, float, float]] = []
    ratios, busy = [], []
    for _ in range(rounds):
        group, fine, cube = (
            timed(call)
            for call in (
                lambda: bare(table, by_bucket),
                lambda: bare(table, by_block),
                lambda: cube_of(ledger, table),
            )
        )
        walls.append((group[0], fine[0], cube[0]))
        ratios.append((cube[0] / group[0], cube[0] / fine[0]))
        busy.append((group[1], cube[1]))
    a, b, c = (statistics.median(w) for w in zip(*walls, strict=True))
    r, f = (statistics.median(x) for x in zip(*ratios, strict=True))
    low, high = min(x for x, _ in ratios), max(x for x, _ in ratios)
    group_busy, cube_busy = (statistics.median(x) for x in zip(*busy, strict=True))
    print(f"   {len(table):>9,} attempts, {ledger.cells:>9,} cells: group-by {a:.3f} s  cube {c:.3f} s"
          f" (fastest {min(w for *_, w in walls):.3f})  ratio {r:.2f} ({low:.2f} to {high:.2f})"
          f"  to a group-by of as many cells ({b:.3f} s) {f:.2f}")  # fmt: skip
    print(f"             processor: group-by {group_busy:.3f} s  cube {cube_busy:.3f} s", flush=True)


def memory(ledger: Ledger, table: pa.Table) -> None:
    """Part 2 for one ledger."""
    labelled, planned = with_labels(table), with_labels(ledger.planned)
    gc.collect()
    usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    cube = build_cube(labelled, planned, ledger.design)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pa.set_memory_pool(usual)
    both, cells = peak + pool.max_memory(), cube.y.size
    kept += pool.bytes_allocated()
    del cube  # before its memory pool goes
    print(f"   {len(table):>9,} attempts, {cells:>9,} cells ({table.nbytes / 1e6:.0f} MB of ledger): peak"
          f" {both / 1e6:.1f} MB (NumPy {peak / 1e6:.1f}, Arrow {pool.max_memory() / 1e6:.1f}),"
          f" {both / cells:.0f} B per cell, of which the cube keeps {kept / cells:.0f}",
          flush=True)  # fmt: skip


def segments(ledger: Ledger, rows: int) -> None:
    """Part 3: the first rows as the ledger's writer seals them, read back."""
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        store.put_new("ledger/epoch-0001.json", b'{"epoch": 1, "sealed": {}}')
        for number, start in enumerate(range(0, rows, SEGMENT)):
            sink = io.BytesIO()
            pq.write_table(ledger.table.slice(start, SEGMENT), sink, compression="zstd", write_page_checksum=True)
            store.put_new(f"ledger/segment-0001-{number + 1:06d}.parquet", sink.getvalue())
        wall, busy = timed(lambda: read_attempts(store))
    each = wall / (rows / SEGMENT)
    print(f"   read_attempts: {rows / SEGMENT:.0f} segments of {SEGMENT} rows in {wall:.2f} s (processor {busy:.2f} s):"
          f" {1e3 * each:.1f} ms a segment, so {len(ledger.table) / SEGMENT * each:.0f} s for"
          f" {len(ledger.table):,} attempts")  # fmt: skip


def whole(ledger: Ledger, table: pa.Table) -> None:
    """Part 3: is_final and the analysis, by what analyse calls."""
    wall, busy = timed(lambda: with_is_final(ledger.table, ledger.planned))
    print(f"   with_is_final: {wall:.2f} s (processor {busy:.2f} s)")
    wall, busy = timed(lambda: analyse(table, ledger.planned, design=ledger.design))
    print(f"   analyse: {wall:.2f} s (processor {busy:.2f} s); of it, under a profiler, in seconds:")
    profile = cProfile.Profile()
    profile.runcall(analyse, table, ledger.planned, design=ledger.design)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    called = {
        f"{Path(file).stem}.{name}": sum(call[3] for caller, call in callers.items() if "stats/analyse.py" in caller[0])
        for (file, _, name), (*_, callers) in stats.items()
        if "raysweep" in file and "stats/analyse.py" not in file
    }
    for name, seconds in sorted(called.items(), key=lambda item: -item[1])[:12]:
        print(f"      {seconds:6.2f}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"# python {platform.python_version()}, pyarrow {pa.__version__}, numpy {np.__version__},"
          f" {os.cpu_count()} cpus, {platform.system()}; load {os.getloadavg()[0]:.1f} at the start")  # fmt: skip
    print(f"# {' '.join(sys.argv)}")
    sizes = [s for s in (100_000, 300_000) if s < options.rows] + [options.rows]
    ledgers = [Ledger(rows, 0.02) for rows in sizes]
    tables = [with_is_final(x.table, x.planned) for x in ledgers]
    print(f"1. ledger to cube, medians of {options.rounds} rounds; goals at 1e6: <= 0.3 s, ratio <= 2")
    for ledger, table in zip(ledgers, tables, strict=True):
        speed(ledger, table, options.rounds)
    print("   the last tenth not run yet, so that the plan must be read for what is missing:")
    speed(ledgers[-1], tables[-1].slice(0, int(0.9 * len(tables[-1]))), options.rounds)
    print("2. peak memory of build_cube")
    for ledger, table in zip(ledgers, tables, strict=True):
        memory(ledger, table)
    thrice = Ledger(sizes[-2] if len(sizes) > 1 else sizes[0], 2.0)
    memory(thrice, with_is_final(thrice.table, thrice.planned))
    print("3. from segments to the analysis")
    segments(ledgers[-1], min(20_000, options.rows))
    whole(ledgers[-1], tables[-1])


if __name__ == "__main__":
    main()
