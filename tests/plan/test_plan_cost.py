"""The cost of a plan by hand-made sums, and what is printed of it."""

import pytest

from raysweep.plan import make_plan
from raysweep.plan.cost import Pilot, calendar_length, estimate
from raysweep.plan.describe import Detectable, describe
from support.plan_samples import make_sweep, make_tasks

HOUR = 3600


def cost(pilot=None, n_tasks=3, **shape):
    sweep, tasks = make_sweep(**shape), make_tasks(n_tasks)
    return estimate(make_plan(sweep, tasks), sweep, tasks, pilot)


def test_sums_by_hand():
    """3 tasks x 6 arms x 2 repeats x 2 buckets = 72 trials of at most 20 s; 1x asks for 999m, the others for 1."""
    found = cost(runner={"concurrency": 4})
    assert (found.trials, found.blocks) == (72, 12)
    assert found.upper.cpu_hours == pytest.approx((24 * 0.999 + 48) * 20 / HOUR)
    assert found.upper.gib_hours == pytest.approx(72 * 20 / 16 / HOUR)
    assert found.upper.agent_hours == pytest.approx(72 * 10 / HOUR)
    assert found.upper.wall_s(4) == pytest.approx(72 * 20 / 4)
    assert found.occasion_upper_s == pytest.approx(72 * 20 / 4 / 4)
    assert found.expected is None
    assert found.best is found.upper


def test_a_pilot_gives_the_expectation_and_prices_the_money():
    prices = {"usd_per_cpu_hour": 2.0, "usd_per_gib_hour": 16.0}
    found = cost(Pilot(trial_s=2.0, agent_s=1.5), budget=prices)
    assert found.expected is not None
    assert found.expected.usd == pytest.approx(found.expected.cpu_hours * 2 + found.expected.gib_hours * 16)
    assert found.expected.gib_hours == pytest.approx(72 * 2 / 16 / HOUR)
    assert found.expected.agent_hours == pytest.approx(72 * 1.5 / HOUR)
    assert found.best is found.expected


def test_the_tighter_bound_of_a_budget_decides():
    free = {"usd_per_cpu_hour": 1.0, "usd_per_gib_hour": 0.0}
    whole = cost(budget=free).upper
    some = cost(budget={"usd": whole.usd / 2, "agent_hours": whole.agent_hours / 3, **free}).buys
    assert some is not None
    assert (some.bound, some.blocks, some.repeats, some.everything) == ("agent_hours", 4, 0, False)
    half = cost(budget={"usd": whole.usd / 2, "agent_hours": 1000, **free}).buys
    assert half is not None
    assert (half.bound, half.blocks, half.repeats) == ("usd", 6, 1)
    ample = cost(budget={"usd": 10 * whole.usd, **free}).buys
    assert ample is not None
    assert (ample.blocks, ample.repeats, ample.everything) == (12, 2, True)
    assert cost().buys is None


WINDOWS = {"night": "00:00-06:00", "day": "06:00-18:00"}


@pytest.mark.parametrize(
    ("buckets", "days"),
    [
        ({"windows": WINDOWS, "dates": 1}, 0.75),
        ({"windows": WINDOWS, "dates": 14}, 13.75),
        ({"windows": {"late": "22:00-04:00"}, "dates": 2}, 1.25),
        ({"windows": WINDOWS, "dates": 6, "weekdays": ["mon", "tue", "wed", "thu", "fri"]}, 7.75),
        ({"windows": WINDOWS, "dates": 5, "weekdays": ["mon", "tue", "wed", "thu", "fri"]}, 6.75),
        ({"windows": WINDOWS, "dates": 2, "weekdays": ["mon"]}, 7.75),
        ({"period": "12h", "windows": {"a": "0h-6h", "b": "6h-12h"}, "dates": 3}, 1.5),
    ],
)
def test_calendar_length_is_the_longest_it_can_take(buckets, days):
    """Six weekday dates from a Monday end on the next Monday: 8 days; five from a Tuesday on Monday: 7."""
    sweep = make_sweep(buckets=buckets, repeats=buckets["dates"])
    assert calendar_length(sweep) == pytest.approx(days * 86400)


def test_whether_an_occasion_fits_its_window():
    cycles = {"period": "60s", "windows": {"a": "0s-10s", "b": "10s-60s"}, "dates": 2}
    tight = cost(Pilot(2.0, 1.0), buckets=cycles, runner={"concurrency": 2})
    assert (tight.occasion_expected_s, tight.window_s, tight.fits) == (pytest.approx(18.0), 10.0, False)
    assert cost(Pilot(0.5, 0.2), buckets=cycles, runner={"concurrency": 2}).fits is True
    assert cost(buckets=None).fits is None


def lines(pilot=None, smallest=None, **shape):
    sweep, tasks = make_sweep(**shape), make_tasks(3)
    plan = make_plan(sweep, tasks)
    return describe(plan, sweep, estimate(plan, sweep, tasks, pilot), smallest)


def test_what_is_printed():
    text = "\n".join(lines(Pilot(2.0, 1.0), Detectable(4.25, "80 % power"), budget={"agent_hours": 0.01}))
    for part in (
        "sample: 72 trials in 12 blocks", "3 tasks x 6 arms x 2 repeats x 2 buckets; 1 repeat on each of 2 dates",
        "band 1x: request cpu 1x, memory 1x, storage 1x; limit cpu 1x, memory 1x, storage 1x  <- reference",
        "expected (at the pilot's mean)", "1 d 8 h from the first opening", "agent_hours 0.01 buys 6 blocks",
        "1 of 2 complete repeats", "smallest contrast it can detect: 4.2 points (80 % power)",
    ):  # fmt: skip
        assert part in text, text


def test_what_is_not_known_is_said_so():
    text = "\n".join(lines(buckets=None, repeats=2))
    assert "expected: not known yet; a pilot" in text
    assert "smallest contrast" not in text
    assert "calendar" not in text
    assert "budget" not in text


def test_an_occasion_that_does_not_fit_is_named_with_remedies():
    cycles = {"period": "60s", "windows": {"a": "0s-10s"}, "dates": 2}
    found = lines(Pilot(60.0, 1.0), buckets=cycles)
    assert any("does not fit: widen the windows" in line for line in found)
