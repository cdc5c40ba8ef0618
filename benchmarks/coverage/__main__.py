"""The command: which cells, where their results go, and the page's tables.

    python -m benchmarks.coverage [--form short|full] [--only GROUP ...] [--redo] [--workers N] [--out DIR] [--page]

Exit code 1 if a cell misses its target beyond Monte Carlo error.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before numpy is loaded: one core per worker

import argparse  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from concurrent.futures import ProcessPoolExecutor, as_completed  # noqa: E402
from multiprocessing import get_context  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks.coverage import (  # noqa: E402
    claims,
    components,
    dates,
    fixed,
    nulls,
    page,
    parts,
    power,
    rare,
    reactions,
    sampled,
    statements,
)
from benchmarks.coverage.cell import Cell  # noqa: E402

GROUPS = (
    sampled.GROUP, fixed.GROUP, rare.GROUP, dates.GROUP, components.GROUP, nulls.GROUP, power.GROUP, statements.GROUP,
    claims.GROUP, reactions.GROUP, parts.GROUP,
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / "benchmarks" / "results" / "coverage"
PAGE = ROOT / "docs" / "validity.md"


def main() -> int:
    given = _arguments()
    out = given.out or (FULL if given.form == "full" else Path(tempfile.gettempdir()) / "raysweep-coverage-short")
    groups = [g for g in GROUPS if not given.only or g.name in given.only]
    cells = [c for g in groups for c in g.cells(given.form)]
    if not given.page:
        for c in cells if given.redo else ():
            c.path(out).unlink(missing_ok=True)
        _work([c for c in cells if c.result(out) is None], out, given.workers)
    results = {g.name: [r for c in g.cells(given.form) if (r := c.result(out)) is not None] for g in groups}
    if given.page:
        page.write(PAGE, {g.name: g.table(results[g.name]) for g in groups if results[g.name]})
    missed = [text for g in groups for text in g.failed(results[g.name])]
    for g in groups:
        print(f"\n## {g.name}: {len(results[g.name])} of {len(g.cells(given.form))} cells\n")
        print(g.table(results[g.name]))
    print("\n".join(["", f"{len(missed)} cells miss their target beyond Monte Carlo error.", *missed]))
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--form", choices=("short", "full"), default="short")
    parser.add_argument("--only", nargs="*", choices=[g.name for g in GROUPS], help="groups")
    parser.add_argument("--redo", action="store_true", help="forget the results of these cells first")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--page", action="store_true", help="no simulation: tables into docs/validity.md")
    return parser.parse_args()


def _work(cells: list[Cell], out: Path, workers: int) -> None:
    begin = time.perf_counter()
    if workers <= 1:
        for number, cell in enumerate(cells, 1):
            _say(number, len(cells), cell, cell.work(out))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            asked = {pool.submit(cell.work, out): cell for cell in cells}
            for number, done in enumerate(as_completed(asked), 1):
                _say(number, len(cells), asked[done], done.result())
    print(f"{len(cells)} cells in {time.perf_counter() - begin:.0f} s", file=sys.stderr)


def _say(number: int, of: int, cell: Cell, seconds: float) -> None:
    print(f"{number}/{of} {cell.group}: {cell.name} ({seconds:.0f} s)", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
