"""The bundled set as it lies on disk; test_headroom_real.py runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysweep.agent import make_agent
from raysweep.tasks.load import load_tasks
from raysweep.units import MIB

TASKS = load_tasks("bundled:headroom", base=Path())
BY_NAME = {t.name: t for t in TASKS}


def test_ten_tasks_of_64_mib_without_network():
    assert len(TASKS) == 10
    assert {t.spec.memory for t in TASKS} == {64 * MIB}
    assert {t.name: t.spec.cpu for t in TASKS if t.spec.cpu != 1000} == {"compress-chunks": 250}
    assert not any(t.network for t in TASKS)
    assert {t.notes for t in TASKS} == {()}


@pytest.mark.parametrize("name", BY_NAME)
def test_setup_alone_makes_the_environment_and_every_agent_fits(name):
    task = BY_NAME[name]
    assert (task.build_steps, task.needs_image) == ("setup", None)
    assert len(task.instruction) > 200
    for kind, options in (
        ("oracle", {}),
        ("nop", {}),
        ("scripted", {"strategy": "lean"}),
        ("scripted", {"strategy": "heavy"}),
    ):
        assert make_agent(kind, options).unfit(task) is None
    assert "no strategy 'fat'" in (make_agent("scripted", {"strategy": "fat"}).unfit(task) or "")
