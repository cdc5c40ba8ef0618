"""What `describe` prints of power: values come in, no number is made here."""

from __future__ import annotations

from raysweep.plan import make_plan
from raysweep.plan.cost import estimate
from raysweep.plan.describe import Detectable, describe
from support.plan_samples import make_sweep, make_tasks


def told(smallest):
    sweep, tasks = make_sweep(), make_tasks(2)
    plan = make_plan(sweep, tasks)
    lines = describe(plan, sweep, estimate(plan, sweep, tasks), smallest)
    return [line for line in lines if "contrast" in line or line.startswith("  more")]


def test_the_smallest_contrast_with_its_basis_and_what_else_is_known():
    assert told(Detectable(4.25, "80% power", ("more one", "more two"))) == [
        "smallest contrast it can detect: 4.2 points (80% power)",
        "  more one",
        "  more two",
    ]


def test_no_contrast_at_all_says_why():
    assert told(Detectable(None, "add tasks")) == ["smallest contrast it can detect: none (add tasks)"]


def test_without_numbers_nothing_is_said():
    assert told(None) == []
