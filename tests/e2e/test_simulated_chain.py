"""The benchmark of the whole chain on a few small sweeps: its machinery, not its coverage; and the two studies."""

import json
from pathlib import Path

import pytest

from benchmarks.chain import coverage, studies, sweeps
from benchmarks.chain.__main__ import table
from benchmarks.chain.targets import DENSE, RARE, SAFE, target_of, verdict
from benchmarks.chain.world import World, cell
from raysweep.stats import Finding
from raysweep.stats.facet import Facet, FacetKind

ROOT = Path(__file__).parents[2]
SMALL = coverage.Shape(tasks=6, dates=3)
TRIALS = 6 * 4 * 4 * 3
"""Tasks x bands x buckets x dates."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two small sweeps, the second by a collection that goes on where the first was."""
    file = tmp_path_factory.mktemp("chain") / "raw.jsonl"
    coverage.collect(file, 1, SMALL)
    first = file.read_text()
    coverage.collect(file, 2, SMALL)
    assert file.read_text().startswith(first)
    return file


def test_sweeps_with_faults_are_complete_and_say_what_they_went_through(raw):
    lines = coverage.read(raw)
    assert [line["seed"] for line in lines] == [coverage.SEED, coverage.SEED + 1]
    assert all(line["trials"] == TRIALS < line["rows"] for line in lines)
    assert sum(line["platform"].get("api_server", 0) + line["platform"].get("node_lost", 0) for line in lines) > 0
    assert json.dumps(coverage.one(coverage.SEED, SMALL)) == json.dumps(lines[0])  # the same seed, the same findings


def test_every_kind_of_interval_is_judged(raw, capsys):
    judged = coverage.judge(coverage.read(raw))
    kinds = {j.kind for j in judged}
    assert {
        "success, contrast, all buckets | tasks",
        "success, contrast, all buckets | tasks fixed",
        "success, contrast, all buckets | dates",
        "success, contrast, all buckets | tasks and dates",
        "success, bucket against bucket | tasks",
        "success, band x bucket | tasks",
        "q_trial, contrast, all buckets | tasks",
        "success_given_clean, contrast, all buckets | tasks",
        "infra_rate_resource, contrast, all buckets | tasks",
        "success, one arm, in a bucket | tasks",
        "var_bucket | dates",
    } <= kinds
    assert all(0 <= j.coverage <= 1 and j.intervals >= j.sweeps > 0 for j in judged)
    table(raw)
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in kinds)


def finding(estimand, **more):
    told = {"arm": "3x", "reference": "1x", "bucket": None, "facet": None, "value": 0.0, "low": -1.0, "high": 1.0}
    told |= {"level": 0.95, "method": "", "resampled_over": "tasks"}
    return Finding(estimand=estimand, model="m", n_tasks=1, n_attempts=1, n_dates=1, **(told | more))


WORLD = World(
    success={"1x": 0.4, "3x": 0.5},
    infra={"1x": 0.2, "3x": 0.1},
    hour={"night": 0.03, "day": -0.03},
    moved={"night": 0.04, "day": -0.02},
    sd={"bucket": 0.03, "occasion": 0.01, "date": 0.02},
    attempts={"1x": 1.25, "3x": 1.0},
)


@pytest.mark.parametrize(
    ("found", "truth"),
    [
        (finding("success"), 10.0),
        (finding("success", facet=Facet(FacetKind.SIMULTANEOUS)), 10.0),
        (finding("success", bucket="night", facet=Facet(FacetKind.BAND_BY_BUCKET, "day")), 0.0),
        (finding("success", arm=None, bucket="night", reference="day", facet=Facet(FacetKind.BUCKET)), 6.0),
        (finding("success", reference=None, bucket="night"), 0.54),
        (finding("q_trial"), -10.0),
        (finding("infra_rate_resource"), -6.0),
        (finding("success_given_clean", bucket="night"), 100 * (0.54 / 0.9 - 0.44 / 0.8)),
        (finding("decomposition_infra", bucket="night"), 100 * (0.54 / 0.9 + 0.44 / 0.8) / 2 * 0.1),
        (finding("decomposition_clean", bucket="night"), 100 * 0.85 * (0.54 / 0.9 - 0.44 / 0.8)),
        (finding("time_of_day", facet=Facet(FacetKind.BUCKET)), 3.0),
        (finding("var_date", facet=Facet(FacetKind.DATE)), 4.0),
    ],
)
def test_what_is_true_of_a_finding(found, truth):
    known = cell(found)
    assert known is not None
    assert known[1](WORLD) == pytest.approx(truth)


def test_decompositions_add_up_and_what_has_no_stated_truth_is_not_judged():
    parts = [WORLD.kitagawa(finding(f"decomposition_{name}")) for name in ("infra", "clean")]
    assert sum(parts) == pytest.approx(WORLD.contrast("success", finding("success")))
    assert cell(finding("infra_rate_platform")) is None
    assert cell(finding("success", low=None)) is None


def test_verdicts_are_those_of_the_monte_carlo_interval():
    def judged(kind, coverage_share, n=400):
        return coverage.Judged(kind, n, n, coverage_share, 0.01, 1.0, 0.0)

    dense = judged("success, contrast, all buckets | tasks", 0.95)
    assert (target_of(dense.kind), verdict(dense, DENSE)) == (DENSE, "holds")
    assert verdict(judged(dense.kind, 0.90), DENSE) == "too low"
    assert verdict(judged(dense.kind, 1.0), DENSE) == "too high"
    assert (target_of("q_trial, contrast | tasks"), target_of("success, x | tasks and dates")) == (RARE, SAFE)


def test_a_study_without_faults_is_its_direct_simulation_to_the_digit():
    given = studies.text(1, 2.0, faults=False, tasks=10, dates=3)
    ran = studies.through_the_chain(given)
    assert ran == studies.Ran(studies.direct(given), attempts=10 * 4 * 3 * 2, again=0, drivers=1)


@pytest.mark.parametrize(("amplitude", "claimed"), [(2.0, True), (0.0, False)])
def test_the_two_time_of_day_studies_give_the_verdict_of_direct_simulation(amplitude, claimed):
    given = studies.text(20260206, amplitude, faults=True)
    ran = studies.through_the_chain(given)
    assert ran.attempts > 89 * 4 * 14 * 2
    assert ran.said.claimed is studies.direct(given).claimed is claimed


def test_the_full_sweep_is_a_million_trials_over_sixty_days():
    sweep, _ = sweeps.stated((ROOT / "configs" / "simulated-full.yaml").read_text())
    tasks = int(sweep.tasks.source.partition(":")[2])
    arms = len(sweep.bands) * len(sweep.models)
    assert sweep.dates == 60
    assert tasks * arms * sweep.repeats * len(sweep.windows) == pytest.approx(1e6, rel=0.05)
