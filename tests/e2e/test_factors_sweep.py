"""A whole sweep over several factors on a stated truth, by the command line: what is true is found and named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from raysweep.record.rundir import registration
from support.cli_runs import raysweep

CONFIG = Path(__file__).parents[2] / "configs" / "factors.yaml"


def texts(report):
    return [sentence["text"] for sentence in report["verdict"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """configs/factors.yaml with a larger effect of the time limit, which is registered; run and reported."""
    folder = tmp_path_factory.mktemp("factors")
    sweep = yaml.safe_load(CONFIG.read_text())
    sweep["sandbox"]["truth"]["factors"] = {"agent_timeout": {"2x": 0.3}}
    sweep["analysis"]["factors"] = {"agent_timeout": ["2x"]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    done = raysweep("run", folder / "sweep.yaml", "--run-dir", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def shown(run):
    """What a terminal shows of the report."""
    done = raysweep("report", run, COLUMNS="200", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(run, shown):
    """report.json of the run."""
    return json.loads((run / "report" / "report.json").read_text())


def contrast(report, factor):
    (found,) = (
        f for f in report["findings"]
        if f["facet"] == {"kind": "factor", "value": factor, "within": None}
        and f["estimand"] == "success" and f["resampled_over"] == "tasks" and not f["bucket"]
    )  # fmt: skip
    return found


def test_the_effect_that_is_true_is_found_and_its_factor_named(report):
    found = contrast(report, "agent_timeout")
    assert (found["model"], found["arm"]) == ("stated", "1x [agent_timeout=2x]")
    assert 0 < found["low"] < 30 < found["high"]
    assert any("success rises" in s and "agent_timeout 2x at band 1x" in s for s in texts(report))
    for factor in ("concurrency", "egress"):
        assert contrast(report, factor)["low"] < 0 < contrast(report, factor)["high"]
    assert not [s for s in texts(report) if "rises" in s and ("egress" in s or "concurrency" in s)]


def test_the_registered_level_is_hashed_with_the_registration_and_confirmatory_in_the_report(run, report, shown):
    told = json.loads((run / "registration.json").read_text())
    assert told["analysis"]["factors"] == {"agent_timeout": ["2x"]}
    assert registration(told["analysis"], 0.0)["sha256"] == told["sha256"]
    assert contrast(report, "agent_timeout")["registered"]
    assert not contrast(report, "concurrency")["registered"]
    (said,) = (s for s in texts(report) if "agent_timeout 2x" in s)
    assert "(exploratory)" not in said
    assert [line for line in shown.splitlines() if "agent_timeout 2x against 1x" in line and "success*" in line]


def test_the_queue_held_the_levels_and_the_report_says_so(report):
    (check,) = (c for c in report["checks"] if c["code"].startswith("load_"))
    assert check["code"] == "load_held"
    assert "low 2.0 of 2" in check["message"]


def test_the_report_for_people_names_what_moved(run, shown):
    html = (run / "report" / "report.html").read_text()
    assert "Other factors" in html
    assert "agent_timeout 2x against 1x at band 1x" in html
    assert "stated [agent_timeout=2x]" in shown
    assert "stated: egress slow against free at band 1x" in shown


def test_the_run_directory_says_its_factors(run):
    told = json.loads((run / "run.json").read_text())["factors"]
    assert told["concurrency"] == {"reference": "low", "levels": {"low": 2, "high": 8}}
    assert set(told) == {"agent_timeout", "concurrency", "egress"}
