"""What missed windows cost, in `status` and in the report's checks."""

from __future__ import annotations

import pytest

from raysweep.cli.output import status_lines
from raysweep.cli.run import run_command
from raysweep.cli.status import status_command
from raysweep.record.reader import read_ledger
from raysweep.stats import analyse
from raysweep.stats.findings.balance import Cost, OccasionCount, cells, checks, cost, missed, words
from raysweep.study.sources import design_of
from raysweep.study.status import read_status
from support.cli_runs import simulated

TIGHT = """
buckets: {period: 60s, windows: {first: 0s-30s, second: 30s-60s}, dates: 2, makeup_dates: 0}
"""


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """A finished run of which every window held a part of its blocks only, and its exit code."""
    folder = tmp_path_factory.mktemp("tight")
    config = simulated(folder, extra=TIGHT, tasks=8)
    return run_command(config, folder / "run", None, as_json=False), folder / "run"


def test_status_names_what_closed_windows_lack_and_what_it_costs(tight, capsys):
    code, run = tight
    assert code == 3
    status = read_status(run)
    assert 0 < status.missed["blocks"] <= 32 - status.done // 2, "the last window had not closed at the end"
    windows = status.missed["windows"]
    assert {(w["bucket"], w["occasion"]) for w in windows} <= {
        (b, f"cycle {n}") for b in ("first", "second") for n in (1, 2)
    }
    assert sum(w["missing"] for w in windows) == status.missed["blocks"]
    assert all(w["planned"] == 8 for w in windows)
    price = status.missed["smallest_contrast"]
    assert price["now"] > price["planned"] > 0
    status_command(run, as_json=False)
    said = capsys.readouterr().out
    assert status_lines(status)[0] in said
    first = windows[0]
    assert f"{first['bucket']} of {first['occasion']}: {first['missing']} of 8" in said
    assert f"is {price['now']:.2f} instead of {price['planned']:.2f} points" in said


def test_the_report_warns_of_windows_that_the_sweep_left_behind(tight):
    view = read_ledger(tight[1])
    analysis = analyse(view.table, view.planned, design=design_of(view), probes=view.probes)
    (check,) = (c for c in analysis.checks if c.code == "balance")
    assert check.status == "warning"
    found = cells(view.table, view.planned)
    assert [(c.bucket, c.date) for c in found] == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]
    assert sum(c.blocks for c in found) == 32
    behind = found[:3]  # of the last window that was begun nobody knows yet
    assert f"{sum(c.missing for c in behind)} planned blocks" in check.message
    for cell in behind:
        assert f"{cell.bucket} of date {cell.date} {cell.missing} of 8" in check.message


def test_a_complete_run_lacks_nothing(tmp_path):
    buckets = TIGHT.replace("60s", "600s").replace("30s", "300s")
    assert run_command(simulated(tmp_path, extra=buckets), tmp_path / "run", None, as_json=False) == 0
    assert read_status(tmp_path / "run").missed is None
    view = read_ledger(tmp_path / "run")
    assert list(checks(view.table, view.planned, 0.95)) == []


def test_only_what_is_over_is_missed_and_a_single_task_has_no_cost():
    found = (OccasionCount("a", 1, 4, 1, 4), OccasionCount("b", 1, 4, 0, 4), OccasionCount("a", 2, 4, 4, 0))
    assert missed(found, lambda cell: cell.date < 2) == found[:1]
    assert cost(found, 1, 1, 0.95) == Cost(None, None)
    assert words(Cost(None, None)) == ""
    assert cost(found, 4, 12, 0.95).now is None
    price = cost(found, 4, 5, 0.95)
    assert price.now > price.planned
