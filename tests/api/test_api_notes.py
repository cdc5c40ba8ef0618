"""What a comparison or a calibration takes for granted comes with it."""

import pytest

import raysweep
from raysweep.errors import InputError
from support.cli_runs import simulated
from support.made_runs import make_run, truth


@pytest.fixture
def two(tmp_path):
    stated = truth(("m", 0.5), tasks=6, dates=2)
    make_run(tmp_path / "a", stated)
    make_run(tmp_path / "b", stated, seed=2, facts={"sandbox": "docker"}, environment={"kernel": "5.4"})
    return [raysweep.open_run(tmp_path / name) for name in ("a", "b")]


def test_a_comparison_names_what_was_assumed_and_what_else_differs(two):
    with pytest.raises(InputError, match="sandbox"):
        raysweep.compare(*two)
    assumed, differing = raysweep.compare(*two, assume_comparable=["sandbox"]).notes
    assert assumed == "assumed comparable, though not known to be alike: sandbox (local / docker)"
    assert "kernel (6.1 / 5.4)" in differing


def test_a_calibration_of_several_runs_names_them(tmp_path):
    study = raysweep.load(simulated(tmp_path))
    runs = [raysweep.run(study, tmp_path / name) for name in ("a", "b")]
    assert raysweep.calibrate(runs).notes == ("2 runs are calibrated together: a, b",)
    assert raysweep.calibrate(runs[:1]).notes == ()
