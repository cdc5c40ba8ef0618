"""configs/time-of-day.yaml: sound as it stands, and simulated to its end on the virtual clock."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from raysweep import config
from raysweep.cli.run import run_command
from raysweep.record.reader import read_ledger
from raysweep.study.agenda import make_agenda
from raysweep.study.load import load_study

CONFIG = Path(__file__).parents[2] / "configs" / "time-of-day.yaml"
SIMULATED = """
sandbox: {kind: simulated, truth: {success: {"*": 0.5}, infra: {"*": 0.02}, duration: ["5s", "20s"]}}
runner: {concurrency: 2, executor: inprocess}
"""


def test_it_is_the_shape_of_the_reference_study_and_fits_its_windows():
    study = load_study(CONFIG)
    assert len(study.sweep.bucket_names) == 8
    assert study.sweep.dates == 14
    assert study.plan.trials == 10 * 6 * 8 * 14
    plan = make_agenda(study, 1_764_000_000.0, None)
    assert len(plan.entries) == 8 * 14
    assert all(e.fits and e.trials == 60 for e in plan.entries), "even if every trial runs into all its limits"
    assert plan.end < plan.planned_end


def test_it_can_be_kept_up_by_pods_with_one_line_changed():
    text = CONFIG.read_text()
    pods = text.replace("sandbox: {kind: local}\n", "").replace(
        "# sandbox: {kind: kubernetes}", "sandbox: {kind: kubernetes}"
    )
    assert config.parse(pods).sandbox.kind == "kubernetes"


def test_simulated_it_runs_to_its_end_in_balance(tmp_path):
    text = CONFIG.read_text().replace("bundled:headroom", 'bundled:headroom, include: ["sort*", "join*"]')
    for line in ("sandbox: {kind: local}\n", "runner: {concurrency: 2}\n"):
        assert line in text
        text = text.replace(line, "")
    path = tmp_path / "sweep.yaml"
    path.write_text(text + SIMULATED)
    assert run_command(path, tmp_path / "run", None, as_json=False) == 0
    rows = read_ledger(tmp_path / "run").table.select(
        ["task", "model", "band", "bucket", "actual_bucket", "occasion", "actual_occasion", "crossed_boundary"]
    )
    per = Counter(
        (r["task"], r["model"], r["band"], r["actual_bucket"], r["actual_occasion"]) for r in rows.to_pylist()
    )
    tasks = {task for task, *_ in per}
    assert len(per) == len(tasks) * 6 * 8 * 14
    assert set(per.values()) == {1}, "as often at every time of day and on every date"
    assert not any(r["crossed_boundary"] for r in rows.to_pylist())
