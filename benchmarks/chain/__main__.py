"""Simulated sweeps through the whole chain beside their stated truth.

python -m benchmarks.chain coverage RAW.jsonl [--sweeps 400]   # goes on where it was; prints the table
python -m benchmarks.chain judge RAW.jsonl                     # the table alone
python -m benchmarks.chain studies [--seeds 20] [--first 20260205]
python -m benchmarks.chain run CONFIG RUN_DIR                  # one sweep until complete, with rates and memory
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections import Counter
from pathlib import Path
from statistics import fmean

from benchmarks.chain import coverage, studies, sweeps
from benchmarks.chain.targets import target_of, verdict
from benchmarks.chain.world import CLIPPED


def table(raw: Path) -> None:
    """Coverage by kind of interval, with 99 % Monte Carlo intervals and targets."""
    lines = coverage.read(raw)
    platform_causes = sum((Counter(line["platform"]) for line in lines), Counter())
    print(f"{len(lines)} sweeps of {coverage.TASKS} tasks x 4 buckets x {coverage.DATES} dates x 4 bands, with faults:")
    print(f"   attempts a trial {fmean(line['rows'] / line['trials'] for line in lines):.3f}; of all attempts")
    rows = sum(line["rows"] for line in lines)
    shares = ", ".join(f"{cause} {100 * n / rows:.2f} %" for cause, n in sorted(platform_causes.items()))
    print(f"   {shares}, further block runs {100 * sum(line['again'] for line in lines) / rows:.2f} %,")
    print(f"   outside their window {100 * sum(line['crossed'] for line in lines) / rows:.2f} %;")
    missing = sum(line["missing"] for line in lines) / sum(line["trials"] for line in lines)
    print(
        f"   never completed {100 * missing:.2f} % of trials, in {sum(line['missing'] > 0 for line in lines)} sweeps;"
    )
    print(f"   more than one driver in {sum(line['drivers'] > 1 for line in lines)} sweeps")
    print(
        "coverage % of 95 % intervals; sweeps: in which the interval was given; error: mean of estimate - truth in its"
    )
    print("Monte Carlo s.e.; width in points where the estimate is in points")
    print(f"   {'kind | resampled over':62} sweeps  coverage  99 % Monte Carlo    width  error  target      verdict")
    for j in sorted(coverage.judge(lines), key=lambda j: j.kind):
        low, high = coverage.monte_carlo(j)
        target = target_of(j.kind)
        error = "-" if j.kind.startswith(CLIPPED) else f"{j.error:+.1f}"
        print(
            f"   {j.kind:62} {j.sweeps:6d}  {100 * j.coverage:8.1f}  {100 * low:6.1f} to {100 * high:5.1f}"
            f"  {j.width:8.3g}  {error:>5}  {target!s:10}  {verdict(j, target)}"
        )


def one_run(config: Path, folder: Path) -> None:
    """One sweep until it is complete: wall time, processor time, attempts, memory."""
    began, used = time.perf_counter(), time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    view, drivers = sweeps.run(config.read_text(), folder)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(view.planned)} trials, {len(view.table)} attempts, {drivers} driver(s): {wall:.0f} s wall, {cpu:.0f} s"
    )
    print(f"of processor, {1000 * cpu / len(view.table):.2f} ms an attempt, peak memory {peak:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chain")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("coverage", "judge"):
        command = commands.add_parser(name)
        command.add_argument("raw", type=Path)
        command.add_argument("--sweeps", type=int, default=400)
    command = commands.add_parser("studies")
    command.add_argument("--seeds", type=int, default=20)
    command.add_argument("--first", type=int, default=coverage.SEED)
    command = commands.add_parser("run")
    command.add_argument("config", type=Path)
    command.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(f"# python {platform.python_version()}, {platform.system()}; python -m benchmarks.chain {options.command}")
    if options.command == "coverage":
        coverage.collect(options.raw, options.sweeps)
    if options.command in ("coverage", "judge"):
        table(options.raw)
    elif options.command == "studies":
        studies.compare(options.first, options.seeds)
    else:
        one_run(options.config, options.folder)


if __name__ == "__main__":
    main()
