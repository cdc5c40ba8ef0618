"""Contrasts of factors besides the band: found, named, apart from those of bands; doubted where levels are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysweep.report.text import what_text
from raysweep.stats import analyse
from raysweep.stats.calibrate import calibrate
from raysweep.stats.design import Swept
from raysweep.stats.facet import Facet, FacetKind
from raysweep.stats.levels import is_moved, sides
from raysweep.stats.live import snapshot
from raysweep.stats.methods.multiplicity import holm
from raysweep.stats.pilot import pilot_rates
from support import truth

TIMEOUT = Swept("agent_timeout", "1x", ("1x", "2x"), (1.0, 2.0))
LOAD = Swept("concurrency", "low", ("low", "high"), (2, 8))
EGRESS = Swept("egress", "free", ("free", "slow"), (None, 1 << 20))
MOVED = {
    "T": {"agent_timeout": "2x"}, "C": {"concurrency": "high"}, "TC": {"agent_timeout": "2x", "concurrency": "high"},
    "E": {"egress": "slow"},
}  # fmt: skip
"""Arms of a made-up ledger by the name that its truth gives them."""
BASE = truth.Truth(
    success={("m", "1x"): 0.45, ("m", "3x"): 0.5, ("T", "1x"): 0.75, ("C", "1x"): 0.45},
    infra={("m", "1x"): 0.1, ("C", "1x"): 0.1},
    tasks=20, repeats=6, buckets=("night", "day"), dates=("d1", "d2", "d3"), difficulty=0.1,
)  # fmt: skip


def ledger(base=BASE, seed=1):
    """Rows of the truth; its moved arms become those of the model m."""
    return [
        r | {"model": "m", "factors": MOVED[r["model"]]} if r["model"] in MOVED else r for r in truth.rows(base, seed)
    ]


def design(*factors, **more):
    return truth.QUICKSTART.design(
        models=("m",), bands=("1x", "3x"), buckets=BASE.buckets, reference="1x", replicates=500, factors=factors, **more
    )


def run(made, *factors, planned=None):
    plan = truth.planned(made if planned is None else planned)
    return analyse(truth.table(made), plan, design=design(*factors))


def contrast(analysis, factor, **wanted):
    wanted = {"estimand": "success", "bucket": None, "resampled_over": "tasks", "unit": "points", **wanted}
    found = [f for f in analysis.findings if sides(f) and f.facet == Facet(FacetKind.FACTOR, factor)]
    (one,) = (f for f in found if all(getattr(f, k) == v for k, v in wanted.items()))
    return one


def test_the_factor_that_moved_is_named_and_its_contrast_is_that_of_the_truth():
    found = run(ledger(), TIMEOUT, LOAD)
    longer, load = contrast(found, "agent_timeout"), contrast(found, "concurrency")
    assert (longer.model, longer.arm, longer.reference) == ("m", "1x [agent_timeout=2x]", "1x [agent_timeout=1x]")
    assert sides(longer) == ("2x", "1x", "1x")
    assert longer.low > 0
    assert longer.value == pytest.approx(30, abs=8)
    assert load.low < 0 < load.high
    assert not longer.registered
    assert what_text(longer) == "m: agent_timeout 2x against 1x at band 1x"
    said = [s for s in found.verdict if "agent_timeout" in s]
    assert len(said) == 1
    assert said[0].startswith("m: success rises")
    assert "from agent_timeout 1x to agent_timeout 2x at band 1x" in said[0]
    assert "(exploratory)" in said[0]
    assert [s for s in found.verdict if "no difference shown between concurrency low and concurrency high at" in s]


def registered(*factors, levels=(("agent_timeout", ("2x",)),)):
    made = ledger()
    return analyse(truth.table(made), truth.planned(made), design=design(*factors, level_contrasts=levels))


def test_a_registered_level_is_confirmatory_at_the_reference_band_and_no_other_is():
    found = registered(TIMEOUT, LOAD)
    longer, load = contrast(found, "agent_timeout"), contrast(found, "concurrency")
    assert longer.registered
    assert not load.registered
    assert not contrast(found, "agent_timeout", bucket="night").registered
    assert not contrast(found, "agent_timeout", resampled_over="tasks fixed").registered
    (said,) = (s for s in found.verdict if "agent_timeout" in s)
    assert "(exploratory)" not in said
    assert [s for s in found.verdict if "concurrency" in s and "(exploratory)" in s]
    same = replace(longer, registered=False)
    assert same == contrast(run(ledger(), TIMEOUT, LOAD), "agent_timeout"), "nothing else about it is another"


def test_in_a_full_grid_the_registered_level_is_that_of_the_reference_band():
    success = {(m, b): 0.4 for m in ("m", "T", "C", "TC") for b in ("1x", "3x")}
    made = ledger(replace(BASE, success=success, infra={}))
    levels = (("agent_timeout", ("2x",)),)
    found = analyse(truth.table(made), truth.planned(made), design=design(TIMEOUT, LOAD, level_contrasts=levels))
    assert contrast(found, "agent_timeout", arm="1x [agent_timeout=2x]").registered
    assert not contrast(found, "agent_timeout", arm="3x [agent_timeout=2x]").registered


def success_tests(analysis):
    """p_success of the contrasts of bands and of levels, by arm."""
    return {f.arm: f for f in analysis.findings if f.estimand == "p_success"}


def test_registered_levels_and_bands_are_one_family_of_holm():
    alone, together = success_tests(run(ledger(), TIMEOUT, LOAD)), success_tests(registered(TIMEOUT, LOAD))
    levels = (("agent_timeout", ("2x",)), ("concurrency", ("high",)))
    three = success_tests(registered(TIMEOUT, LOAD, levels=levels))
    longer, load = "1x [agent_timeout=2x]", "1x [concurrency=high]"
    raw = {arm: alone[arm].value for arm in ("3x", longer, load)}
    assert [together[a].value for a in ("3x", longer)] == list(holm([raw["3x"], raw[longer]]))
    assert together[load] == alone[load], "what is not registered stays as it was"
    assert "adjusted over 2 arms (Holm)" in together["3x"].method
    assert [three[a].value for a in raw] == list(holm(list(raw.values())))
    assert all("adjusted over 3 arms (Holm)" in three[a].method for a in raw)


def test_a_contrast_of_levels_has_all_that_a_contrast_of_bands_has():
    found = run(ledger(), TIMEOUT, LOAD)
    assert contrast(found, "agent_timeout", resampled_over="tasks fixed").low > 0
    assert contrast(found, "agent_timeout", resampled_over="tasks and dates").low > 0
    assert contrast(found, "agent_timeout", bucket="night").value == pytest.approx(30, abs=12)
    assert contrast(found, "agent_timeout", estimand="infra_rate_resource").value == pytest.approx(-10, abs=5)
    assert contrast(found, "agent_timeout", estimand="p_success", unit="p").value < 0.01
    assert contrast(found, "concurrency", estimand="p_success", unit="p").value > 0.01


def test_everything_else_is_as_if_the_other_arms_had_not_been_there():
    made = ledger()
    alone = [r for r in made if not r["factors"]]
    every, without = run(made, TIMEOUT, LOAD), run(alone)
    assert [f for f in every.findings if not sides(f) and not is_moved(f.model or "")] == list(without.findings)
    assert set(without.verdict) < set(every.verdict)
    assert ("m [agent_timeout=2x]", "1x") in every.arms
    assert ("m [agent_timeout=2x]", "3x") not in every.arms
    tables = [(truth.table(rows), truth.planned(rows)) for rows in (made, alone)]
    with_levels, bare = ([f(*t, d) for f in (pilot_rates, calibrate)] for t, d in
                         zip(tables, (design(TIMEOUT, LOAD), design()), strict=True))  # fmt: skip
    assert with_levels == bare
    looks = [snapshot(*t, d, 0).findings for t, d in zip(tables, (design(TIMEOUT, LOAD), design()), strict=True)]
    assert looks[0] == looks[1]


def test_arms_with_levels_have_their_rates():
    found = {(f.estimand, f.model): f for f in run(ledger(), TIMEOUT, LOAD).findings if f.reference is None}
    assert found["success", "m [agent_timeout=2x]"].value == pytest.approx(0.75, abs=0.06)
    assert found["infra_rate_resource", "m [agent_timeout=2x]"].value == 0
    assert found["q_trial", "m [concurrency=high]"].value == pytest.approx(0.1, abs=0.05)


def test_in_a_full_grid_each_factor_is_told_at_each_band_with_the_others_at_their_reference():
    success = {(m, b): 0.4 + 0.3 * ("T" in m) * (b == "3x") for m in ("m", "T", "C", "TC") for b in ("1x", "3x")}
    found = run(ledger(replace(BASE, success=success, infra={})), TIMEOUT, LOAD)
    tight = contrast(found, "agent_timeout", arm="1x [agent_timeout=2x]")
    wide = contrast(found, "agent_timeout", arm="3x [agent_timeout=2x]")
    assert tight.low < 0 < tight.high
    assert wide.low > 0
    # The arm with both levels is in no contrast: 20 tasks x 12 blocks x 2 arms.
    assert wide.n_attempts == 20 * 12 * 2
    assert {sides(f)[0] for f in found.findings if sides(f)} == {"2x", "high"}


def test_an_arm_that_never_ran_is_missed():
    made = ledger()
    found = run([r for r in made if "agent_timeout" not in r["factors"]], TIMEOUT, LOAD, planned=made)
    missing = contrast(found, "agent_timeout")
    assert missing.value is None
    assert missing.warnings[0].code == "no_pairs"
    assert any("nothing can be said between agent_timeout 1x" in s for s in found.verdict)


def egress(*told):
    """A ledger whose attempts tell what became of their bound on egress, in turn."""
    base = replace(BASE, success={("m", "1x"): 0.4, ("E", "1x"): 0.8}, infra={})
    return [r | {"enforcement": {**r["enforcement"], "egress": told[i % len(told)]}} if r["factors"] else
            r | {"enforcement": {**r["enforcement"], "egress": "no bound asked", "egress_asked": "no bound"}}
            for i, r in enumerate(ledger(base))]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "code", "status"),
    [("not honoured", "not_honoured", "warning"), ("unknown", "maybe_not_honoured", "note"),
     ("no network", "no_network", "note")],
)  # fmt: skip
def test_egress_that_was_not_bounded_is_no_effect_of_egress(told, code, status):
    found = run(egress(told), EGRESS)
    assert [c.status for c in found.checks if c.code == code] == [status]
    assert code in {w.code for w in contrast(found, "egress").warnings}
    rises = [s for s in found.verdict if "success rises" in s and "egress" in s]
    if code == "not_honoured":
        assert not rises
        assert any("egress was not honoured by the sandbox" in s for s in found.verdict)
    else:
        assert len(rises) == 1


def test_egress_that_was_bounded_has_no_caution():
    found = run(egress("honoured"), EGRESS)
    assert not {c.code for c in found.checks} & {"not_honoured", "maybe_not_honoured", "no_network"}
    assert contrast(found, "egress").low > 0
    assert not [c for c in found.checks if "egress" in c.code]


def loaded(high_at_once):
    """A ledger in which two attempts of the reference, then so many of the other level, run side by side for 10 s."""
    made = ledger(replace(BASE, success={("m", "1x"): 0.5, ("C", "1x"): 0.5}, infra={}))
    clock, out = 0.0, []
    for level, at_once in ((False, 2), (True, high_at_once)):
        mine = [r for r in made if bool(r["factors"]) == level]
        for i in range(0, len(mine), at_once):
            out += [r | {"t_queued": clock, "t_stopped": clock + 10} for r in mine[i : i + at_once]]
            clock += 10
    return out


@pytest.mark.parametrize(("at_once", "code"), [(8, "load_held"), (4, "load_not_held"), (10, "load_exceeded")])
def test_the_load_of_a_level_is_measured(at_once, code):
    checks = {c.code: c for c in run(loaded(at_once), LOAD).checks if c.code.startswith("load_")}
    assert set(checks) == {code}
    assert f"low 2.0 of 2, high {at_once}.0 of 8" in checks[code].message


def test_nodes_that_served_two_levels_are_named():
    factor = Swept("node_type", "small", ("small", "large"), ({"pool": "s"}, {"pool": "l"}))
    made = ledger(replace(BASE, success={("m", "1x"): 0.5, ("C", "1x"): 0.5}))

    def on(large):
        return [r | {"factors": {"node_type": "large"} if r["factors"] else {},
                     "node": {"name": large if r["factors"] else "n1"}} for r in made]  # fmt: skip

    assert [c.code for c in run(on("n1"), factor).checks if c.code == "nodes_shared"] == ["nodes_shared"]
    assert not [c for c in run(on("n2"), factor).checks if c.code == "nodes_shared"]
