"""Which probes a round has."""

from __future__ import annotations

from raysweep.config.bands import Band
from raysweep.probe import plan_probes, round_seconds
from raysweep.probe.plan import HELPER_BYTES, LEAST_CPU, SPEC
from raysweep.units import MIB

BANDS = (
    Band(name="1x", request=1.0, limit=1.0),
    Band(name="3x", request=1.0, limit=3.0),
    Band(name="memory", request=1.0, limit={"memory": 5}),
    Band(name="cpu", request=1.0, limit={"cpu": 6, "memory": "none"}),
    Band(name="uncapped", request=1.0, limit="none"),
)


def plan(bands=BANDS, **changes):
    given = {"run_id": "r", "bucket": "night", "occasion": "2026-02-05", "moment": "before", "number": 1}
    return plan_probes(bands, **(given | {"cpu_s": 3.0, "now": 5.0} | changes))


def by_band(orders):
    return {o.band: o for o in orders}


def test_finite_limits_get_one_allocation_just_under_and_one_just_past():
    for order in plan():
        if order.limit.memory is not None:
            assert 0.7 * order.limit.memory < order.held_bytes < order.limit.memory - HELPER_BYTES
            assert order.limit.memory < order.past_bytes < 1.2 * order.limit.memory
            assert order.limit.memory == order.memory_mult * SPEC.memory


def test_uncapped_memory_holds_a_quarter_more_than_the_largest_finite_limit_and_has_no_allocation_to_die_of():
    found = by_band(plan())
    for band in ("uncapped", "cpu"):
        assert found[band].limit.memory is None
        assert found[band].held_bytes == 1.25 * 5 * 64 * MIB
        assert found[band].past_bytes is None


def test_a_cpu_limit_is_burnt_against_by_more_threads_than_it_allows():
    found = by_band(plan())
    assert [found[b].burners for b in ("1x", "3x", "memory", "cpu", "uncapped")] == [1, 1, 1, 2, 0]
    assert all(o.burners * 1000 > o.limit.cpu for o in plan() if o.limit.cpu is not None)


def test_what_cannot_be_measured_is_left_out():
    assert plan([Band(name="uncapped", limit="none")]) == []
    (tiny,) = plan([Band(name="tiny", request=0.05, limit=0.05)])
    assert tiny.limit.cpu < LEAST_CPU
    assert (tiny.held_bytes, tiny.burners) == (None, 0)
    assert tiny.past_bytes > tiny.limit.memory


def test_bounds_are_made_as_those_of_trials():
    assert by_band(plan())["1x"].request.cpu == 249  # 1m below the limit, as in every arm of uniform QoS
    assert by_band(plan(uniform=False))["1x"].request.cpu == 250
    assert all(o.limit.storage is None and o.request.storage is None for o in plan())


def test_names_are_those_of_a_pod_deterministic_and_of_one_round_only():
    names = [o.attempt_id for number in (1, 2) for moment in ("before", "after")
             for o in plan(number=number, moment=moment)]  # fmt: skip
    assert len(set(names)) == len(names)
    assert [o.attempt_id for o in plan()] == [o.attempt_id for o in plan(now=9.0)]
    assert all(n.replace("-", "").isalnum() and n == n.lower() and len(n) < 40 for n in names)


def test_a_round_runs_bands_side_by_side():
    assert round_seconds(3, 3, 3.0) == round_seconds(1, 8, 3.0)
    assert round_seconds(4, 2, 3.0) == 2 * round_seconds(2, 2, 3.0)
