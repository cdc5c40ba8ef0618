"""How pytest-xdist spreads the tests over its workers: file by file, and at most two of a real Ray at once."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

STARTS_RAY = {
    "tests/e2e/test_sweep_killed.py": "ray 1",
    "tests/e2e/test_sweep_live.py": "ray 1",
    "tests/e2e/test_gcs_killed.py": "ray 1",
    "tests/schedule/test_ray_executor.py": "ray 1",
    "tests/schedule/test_ray_probes.py": "ray 1",
    "tests/schedule/test_ray_start.py": "ray 1",
    "tests/schedule/test_time_of_day_rest.py": "ray 1",
    "tests/schedule/test_time_of_day_turns.py": "ray 1",
    "tests/e2e/test_chaos.py": "ray 2",
    "tests/e2e/test_probes_live.py": "ray 2",
    "tests/cases/test_surroundings.py": "ray 2",
    "tests/cases/test_frozen_tasks.py": "ray 2",
    "tests/cli/test_cli_watch.py": "ray 2",
    "tests/dataset/test_ray_dataset.py": "ray 2",
    "tests/plugins/test_agent_plugin.py": "ray 2",
}
"""Two rows of files, one after another each: a Ray takes seconds, a GB and all cores when it starts, then it waits."""


def unit_of(test: str) -> str:
    """What of the tests stays together on one worker, and in order, by a test's id."""
    file = test.partition("::")[0]
    return STARTS_RAY.get(file, file)


class ByFile(LoadScopeScheduling):
    """Gives a worker one file after another; the tests of a file share its fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def scheduler(config, log) -> ByFile:
    """The scheduler for `-n`, which begins with what comes first in the collection."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


LONG = ("tests/sandbox/supervisor/test_supervisor_binary.py", "tests/schedule/test_driver_interrupt.py")
"""Files that take half a minute or more without Ray; begun late, one of them would be waited for at the end."""


def long_first(items: list) -> None:
    """Put first what takes long: the tests that start Ray, which mostly wait while other workers do all else."""
    order = [*sorted(set(STARTS_RAY.values())), *LONG]
    items.sort(key=lambda item: order.index(unit) if (unit := unit_of(item.nodeid)) in order else len(order))
