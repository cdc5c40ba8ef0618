"""p-values beside the intervals: success, infrastructure deaths and trends, adjusted over the arms of a model.

Belongs here: which test answers which question, counts by task, the family of an adjustment, cautions. Does not: the
tests (`methods`). A p above the level is no sign of equality and no sentence may say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.stats.arrays import Floats, Ints
from raysweep.stats.cube import Cube
from raysweep.stats.design import Design, is_registered
from raysweep.stats.endings import is_resource
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.finding import Caution, Finding
from raysweep.stats.findings.changepoint import Ordered, ordered
from raysweep.stats.findings.pair import Pair, is_binary, pair, pair_cautions
from raysweep.stats.methods.interval import Draws
from raysweep.stats.methods.multiplicity import holm
from raysweep.stats.methods.permutation import SignFlip, sign_flip
from raysweep.stats.methods.stratified import Stratified, cmh, mcnemar
from raysweep.stats.methods.trend import Page, page

NOTHING_DIFFERS = Caution(
    "all_tied", "arm and reference gave the same throughout: nothing to test", "use harder tasks or more repeats"
)


def significance(
    cube: Cube, table: pa.Table, design: Design, how: Draws, family: Sequence[Finding] = ()
) -> Iterator[Finding]:
    """Findings of unit "p" (value = the adjusted p, no interval; the p of the test alone is in the method text).

    Per model and band against the reference "p_success" (sign flips of task contrasts) and "p_infra_rate_resource" (CMH
    stratified by task over all attempts; McNemar on trials where no task has more than one complete block), adjusted
    over the arms of a model (Holm). Per model with three or more ordered bands "p_trend_success" and "p_trend_q_trial"
    (Page). table: all attempts, labelled. family: all registered tests (`contrast_tests`), where some of them are of
    other arms than those of this cube: registered contrasts of a model are adjusted together.
    """
    counts = _resource_counts(table, cube)
    for model in cube.models:
        for tests in _model_tests(cube, counts, design, how, model):
            yield from _adjusted(tests, family)
        order = ordered(cube, design, model)
        if order is not None:
            yield _trend(cube, order, "p_trend_success", cube.y, how)
            yield _trend(cube, order, "p_trend_q_trial", cube.q, how)


def contrast_tests(cube: Cube, table: pa.Table, design: Design, how: Draws) -> Iterator[Finding]:
    """The tests of all contrasts before any adjustment: value is the p of the test alone. As `significance`."""
    counts = _resource_counts(table, cube)
    for model in cube.models:
        for tests in _model_tests(cube, counts, design, how, model):
            yield from tests


def _model_tests(
    cube: Cube, counts: _Counts, design: Design, how: Draws, model: str
) -> tuple[list[Finding], list[Finding]]:
    """The tests of success, and those of infrastructure deaths, of one model."""
    bands = cube.bands(model)
    arms = [b for b in bands if b != design.reference] if design.reference in bands else []
    success = [_success(cube, design, how, model=model, band=b) for b in arms]
    return success, [_infra(cube, design, how, counts, model=model, band=b) for b in arms]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Attempts, and those that ended in a resource cause, by task and column of the cube, (T, A)."""

    events: Ints
    attempts: Ints


def _resource_counts(table: pa.Table, cube: Cube) -> _Counts:
    flags = pa.table(
        {
            "task": table["task"],
            "model": table["_model"],
            "band": table["band"],
            "resource": pc.cast(is_resource(table), pa.int64()),
        }
    )
    rows = flags.group_by(["task", "model", "band"]).aggregate([("resource", "sum"), ("task", "count")]).to_pylist()
    events, attempts = (np.zeros((len(cube.tasks), len(cube.arms)), dtype=np.int64) for _ in range(2))
    task = {name: i for i, name in enumerate(cube.tasks)}
    column = {(a.model, a.band): i for i, a in enumerate(cube.arms)}
    for r in rows:
        at = task.get(r["task"]), column.get((r["model"], r["band"]))
        if at[0] is not None and at[1] is not None:
            events[at] = r["resource_sum"]
            attempts[at] = r["task_count"]
    return _Counts(events, attempts)


def p_text(p: float) -> str:
    """A p-value for a reader: "p = 0.034", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _adjusted(tests: Sequence[Finding], family: Sequence[Finding]) -> Iterator[Finding]:
    """The findings with Holm's p; the registered contrasts are a family of their own, the others one with all.

    tests: of one model and estimand. family: further registered tests, of which those of the same kind count.
    """
    arms, kinds = {f.arm for f in tests}, {(f.estimand, f.model) for f in tests}
    beside = [f for f in family if f.arm not in arms and (f.estimand, f.model) in kinds]
    for registered in (True, False):
        own = [f for f in tests if f.registered] if registered else list(tests)
        members = [*own, *beside] if registered else own
        ps = holm([m.value for m in members])
        for f, p in zip(own, ps, strict=False):
            if f.registered == registered:
                yield _told(f, p, sum(m.value is not None for m in members))


def _told(f: Finding, p: float | None, family: int) -> Finding:
    if f.value is None or family < 2:
        return f
    return replace(f, value=p, method=f"{f.method}; {p_text(f.value)} alone, adjusted over {family} arms (Holm)")


def _success(cube: Cube, design: Design, how: Draws, *, model: str, band: str) -> Finding:
    p = pair(cube, cube.y, cube.column(model, band), cube.column(model, design.reference), cube.in_bucket(None))
    means, counts = cube.task_means(p.difference, p.complete)
    contrasts = means[counts > 0]
    found = sign_flip(contrasts, how.seed)
    size = f"{len(contrasts)} task contrasts"
    kind = f"all sign flips of {size}" if found.exact else f"{found.flips} random sign flips of {size}, studentised"
    plain = _contrast(p, "p_success", model, band, design, method=kind, over="tasks")
    return replace(
        plain,
        value=found.p,
        registered=is_registered(design, "success", band, design.reference, None),
        warnings=(*plain.warnings, *_flip_cautions(contrasts, found, how.level)),
    )


def _flip_cautions(contrasts: Floats, found: SignFlip, level: float) -> Iterator[Caution]:
    if not len(contrasts):
        return
    if found.flips == 1:
        yield NOTHING_DIFFERS
    elif found.exact and 2 / found.flips > 1 - level:
        moving = found.flips.bit_length() - 1
        message = f"{moving} of {len(contrasts)} tasks differ: no p below {2 / found.flips:.2g} is possible"
        yield Caution("few_tasks", message, "add tasks")


def _infra(cube: Cube, design: Design, how: Draws, counts: _Counts, *, model: str, band: str) -> Finding:
    arm, reference = cube.column(model, band), cube.column(model, design.reference)
    p = pair(cube, cube.q, arm, reference, cube.in_bucket(None))
    _, blocks = cube.task_means(p.difference, p.complete)
    plain = _contrast(p, "p_infra_rate_resource", model, band, design, method="none", over="tasks fixed")
    plain = replace(plain, registered=is_registered(design, "infra_rate_resource", band, design.reference, None))
    if int(blocks.max(initial=0)) <= 1 and is_binary(p.arm[p.complete], p.reference[p.complete]):
        return _one_block(p, plain)
    a, n_a, r, n_r = (x[:, c] for c in (arm, reference) for x in (counts.events, counts.attempts))
    found = cmh(a, n_a, r, n_r, level=how.level)
    both = (n_a > 0) & (n_r > 0)
    tied = (NOTHING_DIFFERS,) if found.p is not None and not found.strata else ()
    return replace(
        plain,
        value=found.p,
        method=_cmh_text(found, how.level),
        n_tasks=int(both.sum()),
        n_attempts=int((n_a + n_r)[both].sum()),
        warnings=(*plain.warnings, *tied),
    )


def _one_block(p: Pair, plain: Finding) -> Finding:
    if not p.complete.any():
        return plain
    difference = p.difference[p.complete]
    found = mcnemar(int(np.sum(difference > 0)), int(np.sum(difference < 0)))
    text = f"McNemar, exact binomial: {found.only_first} trials died in the arm alone, {found.only_second} in the"
    text += f" reference alone; mid-p {found.p_mid:.3f}"
    tied = () if found.only_first + found.only_second else (NOTHING_DIFFERS,)
    return replace(plain, value=found.p, method=text, warnings=(*plain.warnings, *tied))


def _cmh_text(found: Stratified, level: float) -> str:
    if found.statistic is None or found.corrected is None:
        return "Cochran-Mantel-Haenszel over tasks: no task with a difference to see"
    kind = "exact conditional" if found.p_exact is not None else "continuity-corrected"
    text = f"Cochran-Mantel-Haenszel over {found.strata} tasks with events, {kind}"
    text += f" (chi-square {found.statistic:.2f}, corrected {found.corrected:.2f})"
    if found.odds_ratio is not None and found.odds_low is not None and found.odds_high is not None:
        span = f"{found.odds_low:.2g} to {found.odds_high:.2g}"
        text += f"; common odds ratio {found.odds_ratio:.2g} ({100 * level:g} % {span})"
    return text


def _contrast(p: Pair, estimand: str, model: str, band: str, design: Design, *, method: str, over: str) -> Finding:
    _, counts = p.cube.task_means(p.difference, p.complete)
    return Finding(
        estimand=estimand,
        model=model,
        arm=band,
        reference=design.reference,
        bucket=None,
        facet=None,
        value=None,
        low=None,
        high=None,
        level=None,
        method=method,
        resampled_over=over,
        n_tasks=int(np.sum(counts > 0)),
        n_attempts=2 * int(counts.sum()),
        n_dates=p.cube.n_dates(p.complete),
        warnings=pair_cautions(p, bounded=False),
    )


def _trend(cube: Cube, order: Ordered, estimand: str, values: Floats, how: Draws) -> Finding:
    means = order.means(cube, values)
    found = page(means, how.seed)
    tied = (NOTHING_DIFFERS,) if found.p is not None and found.z is None else ()
    return Finding(
        estimand=estimand,
        model=order.model,
        arm=None,
        reference=None,
        bucket=None,
        facet=Facet(FacetKind.BANDS, order.bands),
        value=found.p,
        low=None,
        high=None,
        level=None,
        method=_page_text(found),
        resampled_over="tasks",
        n_tasks=len(means),
        n_attempts=int(order.rows.sum()) * len(order.columns),
        n_dates=cube.n_dates(order.rows),
        warnings=(*order.cautions(), *tied),
    )


def _page_text(found: Page) -> str:
    text = "Page's trend test, either direction, permutations within tasks"
    if found.z is None or found.statistic is None or found.p_normal is None:
        return text
    way = "rising" if found.z > 0 else "falling" if found.z < 0 else "level"
    return (
        f"{text}: L = {found.statistic:.0f}, z = {found.z:+.2f} ({way}, ties corrected; {p_text(found.p_normal)} by z)"
    )
