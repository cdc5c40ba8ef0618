"""`raysweep plan` on power and registration, in this process; what a run directory then holds of it."""

from __future__ import annotations

import json

import pytest

from raysweep.cli.plan import plan_command, plan_json
from raysweep.cli.run import run_command
from raysweep.errors import InputError
from raysweep.record.reader import read_ledger
from raysweep.study.sources import design_of
from support.cli_runs import simulated

DAYS = """\
buckets: {timezone: Europe/Berlin, windows: {night: "22:00-04:00", day: "06:00-18:00"}, dates: 2}
analysis: {primary: success, contrasts: [uncapped], delta: 3pp, confidence: 0.9, looks: 2}
"""


def planned(capsys, config, tmp_path, **options):
    options = {"pilot": None, "as_json": True} | options
    plan_command(config, tmp_path / "plan.parquet", options.pop("pilot"), **options)
    out = capsys.readouterr().out
    return json.loads(out) if options["as_json"] else out


def test_json_has_the_documented_keys_and_standard_numbers(tmp_path, capsys):
    told = planned(capsys, simulated(tmp_path, extra=DAYS), tmp_path)
    assert set(told) == {"plan_id", "trials", "blocks", "plan", "cost", "detectable", "power", "registered"}
    for key in told["power"]:
        assert key in plan_json.__doc__, key
    assert told["power"]["level"] == 0.9
    assert told["power"]["delta"] == 3
    assert [dates for dates, _ in told["power"]["looks"]] == [1, 2]
    assert told["detectable"]["points"] == told["power"]["contrast_sampled"]
    assert told["registered"] == {
        "primary": "success", "delta": 0.03, "contrasts": ["uncapped"], "confidence": 0.9, "looks": 2,
        "reference": "1x",
    }  # fmt: skip
    assert "NaN" not in json.dumps(told)
    assert "Infinity" not in json.dumps(told)


def test_lines_say_what_can_be_shown_and_what_is_registered(tmp_path, capsys):
    out = planned(capsys, simulated(tmp_path, extra=DAYS), tmp_path, as_json=False)
    for part in (
        "smallest contrast it can detect: ", "repeats to find a contrast", "infrastructure deaths:",
        "no difference beyond ±3 points", "time of day:", "looks after dates",
        "registered: success of uncapped against 1x, ±3 points count as none, 2 looks",
    ):  # fmt: skip
        assert part in out, out


def test_a_sweep_that_registers_nothing_is_told(tmp_path, capsys):
    config = simulated(tmp_path, tasks=1)
    assert "registered: nothing" in planned(capsys, config, tmp_path, as_json=False)
    told = planned(capsys, config, tmp_path)
    assert told["registered"] is None
    assert told["detectable"]["points"] is None
    assert "add tasks" in told["detectable"]["basis"]


def test_a_pilot_gives_rates_and_durations(tmp_path, capsys):
    config = simulated(tmp_path, tasks=12)
    run = tmp_path / "run"
    assert run_command(config, run, None, as_json=True) == 0
    capsys.readouterr()
    told = planned(capsys, config, tmp_path, pilot=run)
    assert "from the pilot's 12 tasks x 2 block(s)" in told["power"]["assumption"]
    view = read_ledger(run)
    reference = [r for r in view.table.to_pylist() if r["band"] == "1x"]
    died = sum(r["outcome"] == "infra" for r in reference) / len(reference)
    assert told["power"]["infra_before"] == pytest.approx(100 * died)
    assert told["cost"]["expected"] is not None
    stated = planned(capsys, config, tmp_path)
    assert stated["power"]["contrast_sampled"] != told["power"]["contrast_sampled"]
    assert stated["cost"]["expected"] is None


def test_stated_rates(tmp_path, capsys):
    config = simulated(tmp_path, tasks=30)
    rare = planned(capsys, config, tmp_path, rate=0.05, infra_rate=0.3)
    assert rare["power"]["infra_before"] == pytest.approx(30)
    assert rare["power"]["contrast_sampled"] < planned(capsys, config, tmp_path)["power"]["contrast_sampled"]
    with pytest.raises(InputError, match="between 0 and 1"):
        planned(capsys, config, tmp_path, rate=45)


def test_a_pilot_that_is_no_run_or_stands_beside_stated_rates_is_refused(tmp_path, capsys):
    config = simulated(tmp_path)
    with pytest.raises(InputError, match="not a run directory"):
        planned(capsys, config, tmp_path, pilot=tmp_path)
    run = tmp_path / "run"
    assert run_command(config, run, 1, as_json=True) == 0
    with pytest.raises(InputError, match="drop `--rate`"):
        planned(capsys, config, tmp_path, pilot=run, rate=0.4)


def test_the_run_directory_carries_the_registered_analysis_and_the_hours(tmp_path, capsys):
    run = tmp_path / "run"
    assert run_command(simulated(tmp_path, extra=DAYS), run, None, as_json=True) == 0
    design = design_of(read_ledger(run))
    assert design.buckets == ("day", "night")
    assert design.bucket_hours == (12.0, 1.0)
    assert design.period_hours == 24.0
    assert (design.contrasts, design.looks, design.delta, design.confidence) == (("uncapped",), 2, 0.03, 0.9)
    assert design.registered


def test_cycles_have_no_hours_and_old_directories_say_nothing(tmp_path, capsys):
    run = tmp_path / "run"
    cycles = 'buckets: {period: 100s, windows: {a: "0s-40s", b: "50s-90s"}, dates: 2}\n'
    assert run_command(simulated(tmp_path, extra=cycles), run, None, as_json=True) == 0
    design = design_of(read_ledger(run))
    assert design.bucket_hours == ()
    assert design.period_hours == pytest.approx(100 / 3600)
    facts = json.loads((run / "run.json").read_text())
    del facts["bucket_hours"], facts["period_hours"]
    (run / "run.json").write_text(json.dumps(facts))
    old = design_of(read_ledger(run))
    assert (old.bucket_hours, old.period_hours) == ((), 24.0)


@pytest.mark.parametrize("honest_hash", [False, True])
def test_an_edited_registration_is_refused_on_resume(tmp_path, capsys, honest_hash):
    from raysweep.record.rundir import registration

    config, run = simulated(tmp_path, extra=DAYS), tmp_path / "run"
    assert run_command(config, run, 1, as_json=True) == 0
    path = run / "registration.json"
    stands = json.loads(path.read_text())
    edited = stands["analysis"] | {"delta": 0.05}
    path.write_text(json.dumps(registration(edited, 0.0) if honest_hash else stands | {"analysis": edited}))
    with pytest.raises(InputError, match=r"delta: 0.05 -> 0.03" if honest_hash else "its hash does not hold"):
        run_command(config, run, None, as_json=True)


def test_a_registration_of_an_earlier_version_goes_on(tmp_path, capsys):
    from raysweep.record.rundir import registration

    config, run = simulated(tmp_path, extra="analysis: {primary: success}\n"), tmp_path / "run"
    assert run_command(config, run, 1, as_json=True) == 0
    path = run / "registration.json"
    early = {k: v for k, v in json.loads(path.read_text())["analysis"].items() if k not in {"contrasts", "looks"}}
    path.write_text(json.dumps(registration(early, 0.0)))
    assert run_command(config, run, None, as_json=True) == 0
    assert design_of(read_ledger(run)).contrasts == ()
