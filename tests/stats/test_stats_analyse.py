"""The whole reducer on ledgers of a stated truth."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from raysweep.stats import Caution, Finding, analyse, detectable_effect
from support import truth

PLAIN = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.6}, infra={("m", "1x"): 0.3})


def run(made, stated, plan=None, **design):
    return analyse(truth.table(made), truth.planned(made if plan is None else plan), design=stated.design(**design))


def find(analysis, **wanted):
    found = [f for f in analysis.findings if all(getattr(f, k) == v for k, v in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def codes(analysis, status="warning"):
    return {c.code for c in analysis.checks if c.status == status}


CONTRAST = {"arm": "3x", "reference": "1x", "bucket": None, "facet": None, "resampled_over": "tasks"}


def test_quickstart_truth_is_found():
    analysis = run(truth.rows(truth.QUICKSTART), truth.QUICKSTART)
    heavy = find(analysis, estimand="success", model="heavy", **CONTRAST | {"arm": "uncapped"})
    lean = find(analysis, estimand="success", model="lean", **CONTRAST)
    assert heavy.registered
    assert heavy.low > 0
    assert lean.low < 0 < lean.high
    assert any(
        s.startswith("heavy: success rises") and "infrastructure deaths fall from" in s for s in analysis.verdict
    )
    assert any(s.startswith("lean: no difference shown") and "not proof of equality" in s for s in analysis.verdict)
    assert any("can claim little" in s for s in analysis.verdict)
    assert "enforced" in codes(analysis, "ok")


def test_identity_of_p_q_and_c():
    analysis = run(truth.rows(PLAIN), PLAIN)
    of = {e: find(analysis, estimand=e, model="m", arm="1x", reference=None).value
          for e in ("success", "q_trial", "success_given_clean")}  # fmt: skip
    assert of["success"] == pytest.approx((1 - of["q_trial"]) * of["success_given_clean"])


@pytest.mark.parametrize(
    ("ending", "y"),
    [
        (truth.infra("oom_limit", "resource"), 0.0),
        (truth.infra("oom_node", "resource"), 0.0),
        (truth.infra("oom_node", "platform"), None),
        (truth.infra("oom_unknown", "unknown"), None),
        ({"outcome": "agent_error"}, 0.0),
        ({"outcome": "model_api"}, 0.0),
        ({"outcome": "verifier_error"}, 0.0),
        ({"outcome": "cancelled"}, None),
        ({"outcome": "scored", "reward": 0.25, "timed_out": True}, 0.25),
        ({"outcome": "scored", "reward": float("nan")}, None),
    ],
)
def test_y_of_every_ending(ending, y):
    from raysweep.stats.endings import y_of

    row = truth.rows(PLAIN)[0] | {"outcome": None, "reward": None, "cause": None, "cause_class": None}
    assert y_of(truth.table([row | ending])).to_pylist() == [y]


def test_missing_trials_leave_their_block_out_and_are_bounded():
    made = truth.rows(PLAIN)
    made[0] |= truth.infra("node_lost", "platform")
    analysis = run(made, PLAIN)
    f = find(analysis, estimand="success", model="m", **CONTRAST)
    assert f.n_attempts == len(made) - 2
    text = next(w.message for w in f.warnings if w.code == "incomplete_blocks")
    assert "1 of 20 blocks" in text
    assert "against and for the arm" in text
    assert "incomplete_blocks" in codes(analysis)


def test_superseded_rows_count_in_infra_rates_only():
    made = truth.rows(PLAIN)
    again = [dict(r) for r in made]
    lost = made[1] | truth.infra("node_lost", "platform") | {"is_final": False}
    again[1] |= {"attempt": 2, "attempt_id": again[1]["trial_id"] + "-2"}
    analysis = run([*again, lost], PLAIN, plan=made)
    before = run(made, PLAIN)
    same = {"estimand": "success", "model": "m", **CONTRAST}
    assert find(analysis, **same).value == find(before, **same).value
    rate = find(analysis, estimand="infra_rate_platform", arm=lost["band"])
    assert rate.value == pytest.approx(1 / 21)
    assert "superseded" in codes(analysis, "note")


def test_platform_causes_that_differ_by_arm_are_told():
    made = [
        r | truth.infra("node_lost", "platform") if r["band"] == "3x" and r["repeat"] == 1 else r
        for r in truth.rows(PLAIN)
    ]
    analysis = run(made, PLAIN)
    assert "platform" in codes(analysis)
    scores = {"1x": 0.0, "3x": 0.0}
    for r in made:
        scores[r["band"]] += r["reward"] if r["outcome"] == "scored" else 0.0
    expected = 100 * (scores["3x"] - scores["1x"]) / 20  # two blocks in each of ten tasks, the lost ones as 0
    assert find(analysis, estimand="success_platform_zero").value == pytest.approx(expected)


def test_platform_permutation_holds_its_level():
    import numpy as np

    from raysweep.stats.methods.permutation import platform_p

    rng = np.random.default_rng(2)
    occasion = np.repeat([0, 1, 2], 20)
    ps = [platform_p(rng.random((60, 3)) < 0.1, np.ones((60, 3), bool), occasion, seed) for seed in range(200)]
    assert np.mean(np.array(ps) < 0.05) <= 0.1  # 0.05 + 3 Monte Carlo s.e.


def test_a_peak_above_the_limit_is_a_warning():
    made = [r | {"mem_anon_peak_bytes": 100 * truth.MIB} if r["band"] == "1x" else r for r in truth.rows(PLAIN)]
    assert "not_enforced" in codes(run(made, PLAIN))


def test_no_kill_means_enforcement_was_not_tested():
    calm = replace(PLAIN, infra={})
    assert "untested" in codes(run(truth.rows(calm), calm), "note")


def test_relabelling_tasks_leaves_point_estimates_exactly():
    made = truth.rows(replace(PLAIN, repeats=3, tasks=23))
    other = [r | {"task": f"z{99 - int(r['task'][-2:])}"} for r in made]
    one, two = run(made, PLAIN), run(other, PLAIN)
    assert [f.value for f in one.findings if f.facet is None] == [f.value for f in two.findings if f.facet is None]


def test_swapping_arms_flips_signs():
    made = truth.rows(replace(PLAIN, tasks=25, repeats=4))
    there = find(run(made, PLAIN), estimand="success", model="m", **CONTRAST)
    back = find(run(made, PLAIN, reference="3x"), estimand="success", model="m",
                **CONTRAST | {"arm": "1x", "reference": "3x"})  # fmt: skip
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_the_same_seed_gives_the_same_numbers_on_many_workers():
    from concurrent.futures import ThreadPoolExecutor

    made = truth.rows(replace(PLAIN, tasks=25, repeats=4))
    with ThreadPoolExecutor(3) as pool:
        many = analyse(truth.table(made), truth.planned(made), design=PLAIN.design(), map=pool.map)
    assert many == run(made, PLAIN)


def test_a_time_of_day_effect_is_found_and_an_absent_one_is_not():
    base = truth.Truth(success={("m", "1x"): 0.5, ("m", "3x"): 0.5}, tasks=30, repeats=4, buckets=("a", "b"),
                   dates=("d1", "d2", "d3", "d4"))  # fmt: skip
    strong = replace(base, bucket_effect={"a": 0.15, "b": -0.15})
    found = find(run(truth.rows(strong), strong), estimand="time_of_day")
    assert found.low > 0
    assert found.value == pytest.approx(15, abs=5)
    assert find(run(truth.rows(base), base), estimand="time_of_day").low == 0


def test_swept_factors_stay_apart():
    made = truth.rows(PLAIN)
    both = [r | {"factors": {"effort": e}, "trial_id": r["trial_id"] + e, "attempt_id": r["attempt_id"] + e}
            for r in made for e in ("low", "high")]  # fmt: skip
    assert {m for m, _ in run(both, PLAIN).arms} == {"m [effort=high]", "m [effort=low]"}


def edge_cases():
    full = truth.rows(PLAIN)
    single = truth.Truth(success={("m", "1x"): 0.5})
    equal = replace(
        PLAIN, success={("m", "1x"): 1.0, ("m", "3x"): 1.0}, infra={}, buckets=("a", "b"), dates=("d1", "d2")
    )
    flat = [r | {"outcome": "scored", "cause": None, "cause_class": None, "reward": 0.5 if r["band"] == "1x" else 0.7}
            for r in full]  # fmt: skip
    one_date = replace(PLAIN, buckets=("a", "b"))
    return {
        "one task": (truth.rows(replace(PLAIN, tasks=1, repeats=6)), PLAIN, None, "these very tasks"),
        "one trial": (truth.rows(replace(PLAIN, tasks=1, repeats=1)), PLAIN, None, "without an interval"),
        "one bucket": (full, PLAIN, None, "one time-of-day bucket"),
        "one date": (truth.rows(one_date), one_date, None, "luck of its date"),
        "all equal": (truth.rows(equal), equal, None, "no difference shown"),
        "no spread": (flat, PLAIN, None, "every task gave the same value"),
        "missing arm": ([r for r in full if r["band"] != "3x"], PLAIN, full, "nothing can be said between 1x and 3x"),
        "missing reference": ([r for r in full if r["band"] != "1x"], PLAIN, full, "nothing can be said"),
        "zero rows": ([], PLAIN, full, "no trial with a result"),
        "zero rows and no plan": ([], PLAIN, [], "no trial with a result"),
        "one band": (truth.rows(single), single, None, "no other band"),
        "all lost": ([r | truth.infra("node_lost", "platform") for r in full], PLAIN, None, "nothing can be said"),
    }


@pytest.mark.parametrize("case", list(edge_cases()))
def test_poor_ledgers_get_a_sentence_and_no_nan(case):
    made, stated, plan, says = edge_cases()[case]
    analysis = run(made, stated, plan)
    assert any(says in sentence for sentence in analysis.verdict), analysis.verdict
    for f in (*analysis.findings, *analysis.details):
        assert all(v is None or math.isfinite(v) for v in (f.value, f.low, f.high))
    for f in analysis.findings:
        if f.value is None or (f.level is not None and f.low is None):
            assert f.warnings, f


def test_a_small_contrast_of_bands_is_no_gap_of_two_set_ups():
    """The caution of 3 points belongs to scores that were measured by different set-ups (`compare`)."""
    from raysweep.stats.claims import contrast_statement

    f = Finding("success", "m", "3x", "1x", None, None, 2.0, 1.0, 3.0, 0.95, "t", "tasks", 89, 1000, 3)
    assert "success rises 2 points (95 % 1 to 3)" in contrast_statement(f, [f]).text
    assert "caution" not in contrast_statement(f, [f]).text


def test_a_finding_refuses_nan():
    with pytest.raises(ValueError, match="finite or None"):
        Finding("success", "m", "3x", None, None, None, float("nan"), None, None, None, "", "", 0, 0, 0,
                warnings=(Caution("x", "y", "z"),))  # fmt: skip


def test_detectable_effect_is_detected_with_the_stated_power():
    import numpy as np
    import scipy.stats as st

    d = detectable_effect(40, 3)
    rng = np.random.default_rng(1)
    half = d.effect / 200
    found = 0
    for _ in range(600):
        p = rng.beta(1, 1, 40)
        a = rng.binomial(3, np.clip(p + half, 0, 1)) / 3
        b = rng.binomial(3, np.clip(p - half, 0, 1)) / 3
        found += st.ttest_rel(a, b).pvalue < 0.05
    assert 0.7 <= found / 600 <= 0.9  # clipping at 0 and 1 takes a little of the effect and of the noise
    assert detectable_effect(40, 12).effect < d.effect
    assert "cannot" in detectable_effect(2, 1).sentence
    assert "add tasks" in detectable_effect(1, 5).sentence
