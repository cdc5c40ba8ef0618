"""Trials that ended without a score where the task itself could have brought that about.

Three questions: how far do such ends move success (`verified`, and bounds per arm), do they come where the other
repeats fail, and how many attempts were repeated for a cause that a task can bring about. Belongs here: these findings
and checks. Does not: which ends count 0 (`endings`), or which tasks are left out (`stats.broken`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep import seeds
from raysweep.stats.arrays import Bools, Floats, Ints
from raysweep.stats.columns import flags, numbers
from raysweep.stats.cube import Cube, arm_codes
from raysweep.stats.design import Design
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Check, Finding
from raysweep.stats.findings.contrast import Label, contrast_finding
from raysweep.stats.findings.pair import mean_contrast, pair, pair_cautions, within_unit
from raysweep.stats.findings.plain import plain
from raysweep.stats.methods.interval import Draws
from raysweep.vocabulary import Cause, CheckStatus, Outcome

PROVOKABLE = (
    Cause.NODE_LOST, Cause.NODE_PRESSURE, Cause.API_SERVER, Cause.RUNNER_LOST, Cause.ALTERED, Cause.OOM_NODE,
)  # fmt: skip
"""Platform causes that code inside a sandbox can bring about once it runs, by breaking what is around it."""
DRAWS = 10_000
FEWEST = 3
"""With fewer such ends in an arm nothing can be said of where they come."""
SUSPICIOUS = 0.01


def broken_checks(tasks: Sequence[str]) -> Iterator[Check]:
    """The tasks that were left out because their verifier is broken."""
    if tasks:
        one = len(tasks) == 1
        message = (
            f"the verifier of {len(tasks)} task{'' if one else 's'} failed in nearly every trial of every arm:"
            f" {', '.join(tasks)}; {'it is' if one else 'they are'} left out of every number here"
        )
        yield Check("broken_tasks", CheckStatus.WARNING, message, "mend the tests of these tasks and run them again")


def verified(table: pa.Table, cube: Cube, design: Design, how: Draws) -> Iterator[Finding]:
    """Success contrasts without the trials whose verifier failed, where there are any (table: labelled)."""
    failed = _failed_verifier(table, cube)
    if not failed.any():
        return
    values = np.where(failed, np.nan, cube.y)
    for column, arm in enumerate(cube.arms):
        if arm.band == design.reference or design.reference not in cube.bands(arm.model):
            continue
        p = pair(cube, values, column, cube.column(arm.model, design.reference), cube.in_bucket(None))
        value, interval = mean_contrast(p, how)
        label: Label = {"estimand": "success_verified", "model": arm.model, "arm": arm.band, "bucket": None}
        label |= {"reference": design.reference}
        yield contrast_finding(p, label, value, interval, how.level, cautions=pair_cautions(p))


def verified_bounds(table: pa.Table, cube: Cube) -> Iterator[Finding]:
    """Success of each arm with failed verifiers left out, and with all of them counted 0 and 1."""
    failed = _failed_verifier(table, cube)
    bounded = within_unit(cube.y)
    for column, arm in enumerate(cube.arms):
        mine = failed[:, column]
        if not mine.any():
            continue
        y = cube.y[:, column]
        without = _success(cube, np.where(mine, np.nan, y))
        low, high = (_success(cube, np.where(mine, end, y)) if bounded else None for end in (0.0, 1.0))
        method = "trials whose verifier failed left out; bounds: counted 0 and 1; not a confidence interval"
        yield plain(
            "success_verified", arm.model, arm.band, Facet(FacetKind.BOUNDS), without, low=low, high=high,
            method=method, n_attempts=int(np.isfinite(y).sum()),
        )  # fmt: skip


def checks(table: pa.Table, cube: Cube, seed: int) -> Iterator[Check]:
    """Whether ends without a score come where the other repeats fail, and what was repeated (table: labelled)."""
    provoked = _provoked(table)
    yield from _where_others_fail(
        cube, _failed_verifier(table, cube) | _cells(table, cube, provoked | _unknown(table)), seed
    )
    if provoked.any():
        codes = np.bincount(
            np.maximum(arm_codes(table.filter(pa.array(provoked)), cube.arms), 0), minlength=len(cube.arms)
        )
        each = ", ".join(f"{a.model}/{a.band} {n}" for a, n in zip(cube.arms, codes.tolist(), strict=True) if n)
        message = (
            f"{int(provoked.sum())} attempts ended after their agent had begun in causes that a task can bring about"
            f" itself ({_by_cause(table, provoked)}) and may have been repeated: {each}"
        )
        remedy = "they count in the platform's rate only; compare the arms, and read success_platform_zero"
        yield Check("provokable", CheckStatus.NOTE, message, remedy)


def _where_others_fail(cube: Cube, voided: Bools, seed: int) -> Iterator[Check]:
    """Per arm: the success that the task's other trials make likely, where there was no score and elsewhere."""
    scored = np.where(voided, np.nan, cube.y)
    for column, arm in enumerate(cube.arms):
        mine = voided[:, column]
        if mine.sum() < FEWEST:
            continue
        sums, counts = np.zeros(len(cube.tasks)), np.zeros(len(cube.tasks))
        for other, key in enumerate(cube.arms):
            if key.model == arm.model:
                means, n = cube.task_means(scored[:, other], np.ones(len(cube.task), dtype=bool))
                sums += np.where(n > 0, means, 0.0) * n
                counts += n
        rows = (cube.present[:, column] | mine) & (counts[cube.task] > 0)
        likely = sums / np.maximum(counts, 1)
        ends = int((mine & rows).sum())
        if ends < FEWEST or ends == int(rows.sum()):
            continue
        trials = np.bincount(cube.task[rows], minlength=len(cube.tasks))
        lost = np.bincount(cube.task[rows & mine], minlength=len(cube.tasks))
        p = _low_p(likely, trials, lost, seed, f"{arm.model}/{arm.band}")
        if p >= SUSPICIOUS:
            continue
        there, elsewhere = (float((likely * n).sum() / n.sum()) for n in (lost, trials - lost))
        message = (
            f"{arm.model}/{arm.band}: {ends} trials ended without a score where the task's other trials succeed in"
            f" {100 * there:.0f} %, against {100 * elsewhere:.0f} % elsewhere (permutation p = {p:.4f}):"
            " they go with the outcome that was likely"
        )
        yield Check(
            "ends_with_outcome", CheckStatus.WARNING, message,
            "the agent may break what it fails at: read transcripts of these attempts, and success with its bounds",
        )  # fmt: skip


def _low_p(likely: Floats, trials: Ints, lost: Ints, seed: int, name: str) -> float:
    """One-sided Monte Carlo p, (b + 1) / (R + 1), that ends drawn from all trials come where so little succeeds."""
    used = trials > 0
    rng = np.random.Generator(np.random.PCG64(seeds.sequence(seed, "stats", f"voided {name}")))
    drawn = rng.multivariate_hypergeometric(trials[used], int(lost.sum()), size=DRAWS, method="marginals")
    sums = drawn @ likely[used]
    seen = float((likely * lost).sum())
    return (int(np.sum(sums <= seen + 1e-9)) + 1) / (DRAWS + 1)


def _failed_verifier(table: pa.Table, cube: Cube) -> Bools:
    """(n, A) the final trial's verifier failed."""
    failed = flags(pc.equal(table["outcome"], Outcome.VERIFIER_ERROR)) & flags(table["is_final"])
    return _cells(table, cube, failed)


def _cells(table: pa.Table, cube: Cube, rows: Bools) -> Bools:
    """(n, A) which trials have one of the `rows` of the table."""
    found = np.zeros(cube.y.shape, dtype=bool)
    if rows.any():
        some = table.select(["block_id", "_model", "band"]).filter(pa.array(rows))
        blocks = pc.fill_null(some["block_id"].cast(pa.string()), fill_value="")
        at = numbers(pc.index_in(blocks, value_set=pa.array(list(cube.blocks), pa.string())))
        column = arm_codes(some, cube.arms)
        known = np.isfinite(at) & (column >= 0)
        found[at[known].astype(np.int64), column[known]] = True
    return found


def _unknown(table: pa.Table) -> Bools:
    """Final rows that ended in an OOM of unknown origin."""
    return flags(pc.equal(table["cause"], Cause.OOM_UNKNOWN)) & flags(table["is_final"])


def _provoked(table: pa.Table) -> Bools:
    """Rows that ended in a provokable platform cause after the agent had begun, as far as the row tells."""
    causes = flags(pc.is_in(table["cause"], value_set=pa.array([str(c) for c in PROVOKABLE])))
    causes &= flags(pc.equal(table["cause_class"], "platform"))
    if "t_agent_start" not in table.column_names or not causes.any():
        return np.zeros(len(table), dtype=bool)
    return causes & (flags(pc.is_valid(table["t_agent_start"])) | flags(pc.equal(table["cause"], Cause.RUNNER_LOST)))


def _by_cause(table: pa.Table, rows: Bools) -> str:
    counts = pc.value_counts(table["cause"].filter(pa.array(rows))).to_pylist()
    return ", ".join(f"{c['values']} {c['counts']}" for c in sorted(counts, key=lambda c: (-c["counts"], c["values"])))


def _success(cube: Cube, values: Floats) -> float | None:
    means, counts = cube.task_means(values, np.ones(len(cube.task), dtype=bool))
    return float(np.mean(means[counts > 0])) if counts.any() else None
