"""Coverage of what `raysweep report RUN...` says of other runs, where runs differ by a stated amount.

A contrast of 3 points (sd 10 between tasks) on the same 20 tasks in R runs of 4 dates; it moves with the run (sd 0, 2
or 5 points) and with the date (sd 2 points), noise of a task on a date 20 points. Over runs: `runs_sampled`. Over tasks
and runs: `tasks_and_runs`. Beside them the t over all dates of all runs, which the report labels as silent on other
runs. run_sd: `run_spread`, and how often its lower limit exceeds 0.

    python benchmarks/runs.py [--studies 4000] > benchmarks/results/runs.txt
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator

import numpy as np
from scipy.special import stdtrit

from raysweep import seeds
from raysweep.stats.arrays import Floats
from raysweep.stats.methods.runs import LEAST_RUNS, run_spread, runs_sampled, tasks_and_runs
from raysweep.stats.methods.twoway import Grid

LEVEL, EFFECT, TASK_SD, DATE_SD, NOISE = 0.95, 0.03, 0.1, 0.02, 0.2
TASKS, DATES = 20, 4


def studies(number: int, runs: int, run_sd: float, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Drawn studies: true contrast of each task, (T,), and cells (T, R, D)."""
    rng = seeds.generator(seed, "benchmark", f"{runs} runs, sd {run_sd:g}")
    for _ in range(number):
        task = EFFECT + rng.normal(0, TASK_SD, TASKS)
        moved = rng.normal(0, run_sd, runs)[:, None] + rng.normal(0, DATE_SD, (runs, DATES))
        yield task, task[:, None, None] + moved + rng.normal(0, NOISE, (TASKS, runs, DATES))


def shares(number: int, runs: int, run_sd: float, seed: int) -> dict[str, float]:
    """Percent of studies in which each interval held its truth, and in which run_sd was claimed; mean width, points."""
    held: dict[str, float] = dict.fromkeys(("runs", "tasks and runs", "dates", "run_sd", "claimed", "width"), 0.0)
    which = np.repeat(np.arange(runs), DATES)
    for task, cells in studies(number, runs, run_sd, seed):
        value, days = float(cells.mean()), cells.mean(axis=0).ravel()
        reach = float(stdtrit(len(days) - 1, 0.5 + LEVEL / 2)) * float(days.std(ddof=1)) / math.sqrt(len(days))
        held["dates"] += abs(value - task.mean()) <= reach
        spread = run_spread(days, which, LEVEL)
        if spread is not None:
            held["run_sd"] += spread.component.low <= run_sd**2 <= spread.component.high
            held["claimed"] += spread.component.low > 0
        if runs >= LEAST_RUNS:
            grid = Grid(cells.mean(axis=2), np.full((TASKS, runs), DATES))
            these, others = runs_sampled(value, grid, LEVEL), tasks_and_runs(cells.mean(axis=(1, 2)), grid, LEVEL)
            if these.low is not None and these.high is not None and others.low is not None and others.high is not None:
                held["runs"] += these.low <= task.mean() <= these.high
                held["tasks and runs"] += others.low <= EFFECT <= others.high
                held["width"] += others.high - others.low
    return {name: 100 * count / number for name, count in held.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=20260205)
    given = parser.parse_args()
    out = sys.stdout.write
    out(f"{given.studies} studies a line; percent of intervals that hold the truth, mean width in points\n\n")
    out("run sd  runs   over runs   tasks and runs (width)   all dates, silent on runs   run_sd   claimed\n")
    for run_sd in (0.0, 0.02, 0.05):
        for runs in (2, 3, 6):
            s = shares(given.studies, runs, run_sd, given.seed)
            few = runs < LEAST_RUNS
            over = "none" if few else f"{s['runs']:.1f}"
            both = "none" if few else f"{s['tasks and runs']:.1f} ({s['width']:.1f})"
            line = f"{100 * run_sd:>6.0f}  {runs:>4}   {over:>9}   {both:>22}   {s['dates']:>25.1f}"
            out(f"{line}   {s['run_sd']:>6.1f}   {s['claimed']:>7.1f}\n")


if __name__ == "__main__":
    main()
