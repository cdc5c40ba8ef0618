"""The coverage benchmark: it counts rightly, tells a good method from a bad one, and goes on where it was killed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats as st

from benchmarks.coverage import (
    claims,
    data,
    fixed,
    nulls,
    page,
    parts,
    power,
    rare,
    reactions,
    resample,
    sampled,
    statements,
)
from benchmarks.coverage.__main__ import GROUPS
from benchmarks.coverage.cell import Cell, chunks
from benchmarks.coverage.judge import Target, covered, merged, monte_carlo
from benchmarks.coverage.product import REPLICATES, Said, contrasts
from raysweep import seeds
from raysweep.stats.methods.bca import tasks_bca
from raysweep.stats.methods.interval import Draws, mean_ratio
from raysweep.stats.methods.studentised import studentised


def test_monte_carlo_interval_is_the_exact_binomial_one():
    for hits, of in ((0, 40), (3800, 4000), (40, 40)):
        expected = st.binomtest(hits, of).proportion_ci(0.99, method="exact")
        assert monte_carlo(hits, of) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_cell_misses_only_beyond_monte_carlo_error():
    target = Target(0.935, 0.965)
    assert target.verdict(3712, 4000) == "holds"  # 92.8 %: its 99 % interval reaches 93.8
    assert target.verdict(3680, 4000) == "too low"
    assert target.verdict(3920, 4000) == "too high"
    assert Target(0.92).verdict(4000, 4000) == "holds"


def test_counting_of_misses_none_and_unbounded():
    low = np.array([0.0, 0.2, -1.0, np.nan, -np.inf])
    high = np.array([0.2, 0.3, -0.5, np.nan, 1.0])
    score = covered(low, high, 0.1)
    assert score == {"studies": 5, "given": 4, "covered": 2, "truth_below": 1, "truth_above": 1, "unbounded": 1,
                     "width": pytest.approx((0.2 + 0.1 + 0.5) / 3)}  # fmt: skip
    both = merged([score, covered(np.array([0.0]), np.array([2.0]), 1.0)])
    assert (both["studies"], both["covered"], both["width"]) == (6, 3, pytest.approx((0.8 + 2.0) / 4))


def test_a_done_cell_is_kept_and_everything_else_is_worked_again(tmp_path):
    def run(params, studies, sequence):
        return {"m": {"studies": studies, "x": float(np.random.default_rng(sequence).random())}}

    cell = Cell("g", {"T": 3, "K": 1}, 10, run)
    assert cell.result(tmp_path) is None
    cell.work(tmp_path)
    first = cell.result(tmp_path)
    assert Cell("g", {"T": 3, "K": 1}, 20, run).result(tmp_path) is None  # other studies: another result
    cell.path(tmp_path).write_text(json.dumps(first)[:40])  # torn, as no kill of ours can leave it
    assert cell.result(tmp_path) is None
    cell.work(tmp_path)
    assert cell.result(tmp_path)["methods"] == first["methods"]
    assert [p.name for p in cell.path(tmp_path).parent.iterdir()] == [cell.path(tmp_path).name]


def test_a_cell_that_dies_leaves_nothing(tmp_path):
    def run(params, studies, sequence):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cell("g", {"T": 1}, 1, run).work(tmp_path)
    assert list(tmp_path.rglob("*.json")) == []


def test_cells_have_files_of_their_own_and_at_least_4000_studies_in_the_full_form(tmp_path):
    for form in ("short", "full"):
        cells = [c for g in GROUPS for c in g.cells(form)]
        assert len({c.path(tmp_path) for c in cells}) == len(cells)
    slow = {claims.NAME: 400, reactions.NAME: 1000, parts.NAME: 1000}  # the reducer on a whole cube, study by study
    for g in GROUPS:
        if g.name != statements.NAME:
            assert all(c.studies >= slow.get(g.name, 4000) for c in g.cells("full"))
    assert {k: sum(c.studies for c in statements.cells("full") if c.params["K"] == k) for k in (5, 120)} == {
        5: 100, 120: 100,
    }  # fmt: skip


def test_the_page_keeps_its_text(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n")
    page.write(file, {"a": "| new |"})
    assert file.read_text() == (
        "before\n<!-- a -->\n| new |\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"
    )  # fmt: skip
    with pytest.raises(KeyError, match="place for the table c"):
        page.write(file, {"c": "x"})


def test_vectorised_intervals_are_the_ones_of_the_product():
    """Same data, other draws: they agree within Monte Carlo error."""
    values = np.array([[0.1, -0.2, 0.4, 0.0, 0.3, 0.2, -0.1, 0.5, 0.1, 0.2, 0.6, -0.3] * 2])
    mine = resample.from_draws(values, resample.task_counts(np.random.default_rng(1), 20_000, values.shape[1]))
    how, ratio = Draws(seed=2, replicates=20_000, level=0.95), mean_ratio(values[0])
    for name, theirs in (("studentised", studentised(ratio, None, how)), ("BCa", tasks_bca(ratio, None, how))):
        low, high = mine[name]
        assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    plain = resample.paired_t(values)
    expected = st.ttest_1samp(values[0], 0).confidence_interval(0.95)
    assert (plain[0][0], plain[1][0]) == pytest.approx((expected.low, expected.high))


def test_the_default_is_the_expanded_percentile_from_20_tasks_on():
    rng = np.random.default_rng(3)
    study = data.dense(rng, 5, 40, 3, rate=0.5, concentration=2.0, effect=0.06)
    draws = resample.from_draws(study.means, resample.task_counts(rng, REPLICATES, 40))
    theirs = contrasts(study, seed=5)
    assert [i.low for i in theirs] == pytest.approx(draws["expanded percentile"][0], abs=0.01)
    assert [i.high for i in theirs] == pytest.approx(draws["expanded percentile"][1], abs=0.01)


def test_degenerate_studies_have_no_interval_and_raise_no_warning():
    values = np.stack([np.zeros(20), np.full(20, 0.5), np.r_[1.0, np.zeros(19)]])
    found = resample.from_draws(values, resample.task_counts(np.random.default_rng(1), 2000, 20))
    assert np.isnan(found["BCa"][0][:2]).all()
    assert np.isnan(found["studentised"][0][:2]).all()
    assert not np.isfinite(found["studentised"][1][2])  # many draws lack the one task: no end


def test_weights_add_up():
    rng = np.random.default_rng(1)
    assert (resample.both_level_counts(rng, 50, 7, 3).sum(axis=1) == 21).all()
    blocks = resample.block_weights(rng, 50, 7, 3, 2).reshape(50, 7, 3)
    assert blocks.sum(axis=2) == pytest.approx(np.full((50, 7), 3.0))


def test_expectations_of_the_drawn_studies_are_the_stated_ones():
    rng = np.random.default_rng(2)
    study = data.dense(rng, 2000, 40, 2, rate=0.5, concentration=2.0, effect=0.06)
    assert study.means.mean() == pytest.approx(0.06, abs=0.006)
    assert study.truth_of_tasks.mean() == pytest.approx(0.06, abs=0.002)
    deaths = data.infra(rng, 4000, 40, 2, before=0.058, after=0.021, concentration=1.0)
    assert deaths.reference.mean() == pytest.approx(0.058, abs=0.004)
    assert deaths.arm.mean() == pytest.approx(0.021, abs=0.002)


@pytest.mark.parametrize(("module", "params"), [
    (sampled, {"T": 20, "K": 3, "effect": 6, "rate": 0.5}),
    (fixed, {"T": 20, "K": 2, "effect": 6}),
    (rare, {"before": 2.1, "after": 0.5, "clustering": "some", "T": 20, "K": 1}),
    (power, {"T": 89, "K": 3, "rate": 0.5}),
    (nulls, {"test": "sign-flip", "T": 20, "K": 3}),
])  # fmt: skip
def test_a_short_cell_holds_and_its_table_can_be_made(module, params):
    sequence = seeds.sequence(7, "test", module.NAME)
    result = {"params": params, "studies": 300, "methods": module.run(params, 300, sequence)}
    assert module.failed([result]) == []
    assert module.table([result]).count("\n") >= 2


def test_naive_methods_are_seen_to_fail():
    methods = fixed.run({"T": 20, "K": 2, "effect": 0}, 400, seeds.sequence(8, "test"))
    naive = methods["naive blocks"]
    assert fixed.TARGET.verdict(naive["covered"], naive["given"]) == "too low"
    events = rare.run({"before": 2.1, "after": 0.5, "clustering": "none", "T": 20, "K": 1}, 400, seeds.sequence(9, "t"))
    boot = events["percentile"]
    assert rare.TARGET.verdict(boot["covered"], boot["given"]) == "too low"


def test_sentences_are_judged():
    said = Said(
        sentences=(
            "m: no difference shown between 1x and 3x (+0.1 points); infrastructure deaths fall from 5.8 % to 2.1 %.",
            "m: success rises 3 points (95 % 2 to 4) from 1x to 5x.",
            "m: no difference shown between 1x and uncapped (+1 points, 95 % -1 to +3).",
            "m: the change point, up to where higher limits only turn deaths into failures, is 2x or 3x.",
        ),
        change_point=("2x", "3x"),
        recommended="3x",
        status="admissible",
        needed_at_3x=None,
    )
    found = statements.judged(said)
    assert found[statements.FLAT]
    assert found[statements.RISES]
    assert found[statements.DEATHS]
    assert found[statements.HOLDS]
    assert found[statements.RECOMMENDS]
    assert not any(found[s] for s in (statements.UNCAPPED, statements.ALONE, statements.TOO_WIDE, statements.UNDECIDED))


def test_chunks_do_not_depend_on_what_ran_before():
    def draws():
        return [rng.random() for _, rng in chunks(1200, seeds.sequence(1, "x"))]

    assert draws() == draws()
    assert [n for n, _ in chunks(1200, seeds.sequence(1, "x"))] == [500, 500, 200]
